"""What stands in a report's page."""

import json
import re
from typing import Any


def drawings_of(page: str) -> list[dict[str, Any]]:
    """The data of its charts, as the page's script reads it."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return [json.loads(each) for each in found]
