"""From files to a checked document, with errors that name file and line."""
