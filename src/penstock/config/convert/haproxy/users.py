"""`userlist` and `http-request auth`: passwords, in a file of `htpasswd`."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.config.convert.conditions import Action, Alternative, InexpressibleError
from penstock.config.convert.haproxy.acls import Conditions
from penstock.config.convert.haproxy.reader import Line, Section, split_condition
from penstock.config.convert.outcome import Outcome, unique
from penstock.wire.htpasswd import is_read
from penstock.wire.sha_crypt import SHA512, sha_crypt

_ASKS: Final = ("http_auth", "http_auth_group")


@dataclass
class _Users:
    """Of one list: hashes, and who is in which group."""

    hashes: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    groups: dict[str, set[str]] = field(default_factory=dict)


class UserLists:
    """Those of a file. What is asked for by them is written beside the document."""

    def __init__(self, outcome: Outcome, sections: Sequence[Section]) -> None:
        self._outcome = outcome
        self._lists = {each.name: each for each in sections if each.kind == "userlist"}
        self._read: dict[str, _Users] = {}
        self._files: dict[tuple[str, tuple[str, ...]], str] = {}

    def asking(
        self, section: Section, conditions: Conditions, line: Line
    ) -> tuple[list[Alternative], dict[str, Any]]:
        """Who is asked for a password, and which. Raises InexpressibleError."""
        words, condition = split_condition(line.args)
        groups = conditions.terms(condition)
        if len(groups) != 1:
            raise InexpressibleError("passwords are asked for by one condition")
        asked = [term for term in groups[0] if term[1][0].partition("(")[0] in _ASKS]
        if len(asked) != 1 or not asked[0][0]:
            raise InexpressibleError("passwords are asked for unless `http_auth` is met")
        others = [term for term in groups[0] if term is not asked[0]]
        file = self._file(asked[0][1])
        after = {words[i]: words[i + 1] for i in range(len(words) - 1)}
        realm = after.get("realm", section.name or "protected")
        return conditions.of_terms(others), {"file": file, "realm": realm}

    def _file(self, term: Sequence[str]) -> str:
        """Of those who may pass, beside the document."""
        what, _, name = term[0].removesuffix(")").partition("(")
        groups = tuple(term[1:]) if what == "http_auth_group" else ()
        users = self._users(name)
        if users.unread:
            raise InexpressibleError(
                f"the password of {users.unread[0]} is hashed in a way that is not read: SHA-512, "
                "SHA-256 and bcrypt are"
            )
        known = (name, groups)
        if known not in self._files:
            among = {user for group in groups for user in users.groups.get(group, ())}
            lines = [
                f"{user}:{hashed}\n"
                for user, hashed in users.hashes.items()
                if not groups or user in among
            ]
            if not lines:
                raise InexpressibleError(f"nobody is in {' '.join([name, *groups])}")
            base = unique("-".join([name, *groups]), ())
            file = (
                f"{unique(base, [each.removesuffix('.htpasswd') for each in self._outcome.files])}"
            )
            self._files[known] = f"{file}.htpasswd"
            self._outcome.files[f"{file}.htpasswd"] = "".join(lines)
        return self._files[known]

    def _users(self, name: str) -> _Users:
        if name in self._read:
            return self._read[name]
        section = self._lists.get(name)
        if section is None:
            raise InexpressibleError(f"there is no userlist {name!r}")
        users = self._read[name] = _Users()
        for line in section.of("user"):
            _add(users, line)
        for line in section.of("group"):
            users.groups.setdefault(line.args[1], set()).update(
                (line.after("users") or "").split(",")
            )
        return users


def asked(basic_auth: dict[str, Any], action: Action) -> Action:
    """What happens once somebody showed a password. Raises InexpressibleError."""
    if action.get("basic_auth") == basic_auth:
        return action
    if "basic_auth" in action:
        raise InexpressibleError("a route asks for passwords of one list")
    if "pool" in action:
        return {**action, "basic_auth": basic_auth}
    answer = action.get("respond")
    status = answer.get("status", 200) if isinstance(answer, dict) else answer
    if not isinstance(status, int) or status < 400:
        raise InexpressibleError("no password is asked for where Penstock itself answers")
    return action


def _add(users: _Users, line: Line) -> None:
    name = line.args[1]
    hashed, plain = line.after("password"), line.after("insecure-password")
    for group in (line.after("groups") or "").split(","):
        if group:
            users.groups.setdefault(group, set()).add(name)
    if hashed is not None and is_read(hashed) and ":" not in name:
        users.hashes[name] = hashed
    elif plain is not None and ":" not in name:
        users.hashes[name] = sha_crypt(plain.encode(), f"{SHA512}{secrets.token_hex(8)}$")
    else:
        users.unread.append(name)
