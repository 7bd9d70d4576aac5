"""One request and its response, from the parsed head to the settled ticket."""
