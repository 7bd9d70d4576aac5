"""The Huffman code of HPACK (RFC 7541, 5.2 and Appendix B).

The code is canonical: symbols sorted by the length of their code, then by value, have ascending
codes. So the lengths are the whole table. Decoding takes eight bits at a time: from a node of the
code's tree, an octet leads to another node and emits up to two symbols. A node's 256 transitions
are computed when it is first met at an octet's end; the text of header fields meets a few dozen.
"""

from typing import Final

# Of the 256 octets and of the end of the string (EOS), each a letter: "A" is 5 bits, "Z" 30.
_LENGTHS: Final = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHF"
    "IBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIX"
    "PRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS"
    "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWV"
    "Z"
)
_SHORTEST_BITS: Final = 5
_EOS: Final = 256
_ROOT: Final = 0
_LONGEST_PADDING_BITS: Final = 7
_IMPOSSIBLE: Final = -1
_NOT_MET: Final[list[int]] = []
_NO_TEXTS: Final[list[bytes]] = []


class HuffmanFault(Exception):
    """Octets that no text is encoded as."""


class _Code:
    """The code as a tree for decoding and as a table for encoding."""

    def __init__(self) -> None:
        self.codes: list[int] = [0] * (_EOS + 1)
        self.lengths: list[int] = [ord(letter) - ord("A") + _SHORTEST_BITS for letter in _LENGTHS]
        # Where a 0 and a 1 lead from each node: to a node, or to symbol s as -(s + 1).
        self.children: list[list[int]] = [[_ROOT, _ROOT]]
        # For each node, once met: where each octet leads, and the text that it completes.
        self.leads: list[list[int]] = []
        self.texts: list[list[bytes]] = []
        self._assign_codes()
        for symbol in range(_EOS + 1):
            self._add_to_tree(symbol)
        self.leads = [_NOT_MET] * len(self.children)
        self.texts = [_NO_TEXTS] * len(self.children)
        # The nodes that padding ends at: up to seven ones, the beginning of EOS (RFC 7541, 5.2).
        self.final: set[int] = {_ROOT}
        node = _ROOT
        for _ in range(_LONGEST_PADDING_BITS):
            node = self.children[node][1]
            self.final.add(node)

    def _assign_codes(self) -> None:
        code = 0
        length = _SHORTEST_BITS
        for symbol in sorted(range(_EOS + 1), key=lambda each: (self.lengths[each], each)):
            code <<= self.lengths[symbol] - length
            length = self.lengths[symbol]
            self.codes[symbol] = code
            code += 1

    def _add_to_tree(self, symbol: int) -> None:
        node = _ROOT
        code = self.codes[symbol]
        for place in range(self.lengths[symbol] - 1, 0, -1):
            bit = code >> place & 1
            if self.children[node][bit] == _ROOT:
                self.children.append([_ROOT, _ROOT])
                self.children[node][bit] = len(self.children) - 1
            node = self.children[node][bit]
        self.children[node][code & 1] = -(symbol + 1)

    def meet(self, start: int) -> None:
        """Compute a node's transitions."""
        leads: list[int] = []
        texts: list[bytes] = []
        for octet in range(256):
            text = b""
            node = start
            for place in range(7, -1, -1):
                node = self.children[node][octet >> place & 1]
                if node < 0:
                    symbol = -node - 1
                    if symbol == _EOS:
                        node = _IMPOSSIBLE
                        break
                    text += bytes((symbol,))
                    node = _ROOT
            leads.append(node)
            texts.append(text)
        self.leads[start] = leads
        self.texts[start] = texts


_CODE: Final = _Code()


def decode(data: bytes, start: int, end: int) -> bytes:
    """The text that ``data[start:end]`` is the code of. Raises HuffmanFault."""
    code = _CODE
    all_leads = code.leads
    all_texts = code.texts
    text: list[bytes] = []
    node = _ROOT
    for position in range(start, end):
        leads = all_leads[node]
        if not leads:
            code.meet(node)
            leads = all_leads[node]
        octet = data[position]
        text.append(all_texts[node][octet])
        node = leads[octet]
        if node < 0:
            raise HuffmanFault("a Huffman-encoded string holds EOS")
    if node != _ROOT and node not in code.final:
        raise HuffmanFault("the padding of a Huffman-encoded string is not EOS's first bits")
    return b"".join(text)


def encode(text: bytes) -> bytes:
    """The code of a text, padded with ones."""
    codes = _CODE.codes
    lengths = _CODE.lengths
    encoded: list[int] = []
    bits = 0
    waiting = 0  # how many of ``bits`` were not written yet
    for octet in text:
        length = lengths[octet]
        bits = (bits & (1 << waiting) - 1) << length | codes[octet]
        waiting += length
        while waiting >= 8:
            waiting -= 8
            encoded.append(bits >> waiting & 0xFF)
    if waiting:
        padding = 8 - waiting
        encoded.append((bits << padding | (1 << padding) - 1) & 0xFF)
    return bytes(encoded)


def encoded_length(text: bytes) -> int:
    """How many octets the code of a text takes."""
    lengths = _CODE.lengths
    bits = 0
    for octet in text:
        bits += lengths[octet]
    return (bits + 7) // 8
