"""The words of all synthesised text.

Each has three letters and is, with a space beside it, one token in the vocabularies of the common
models (a real engine's own count is what a replay reports).
"""

_TEXT = """
the and for are but not you all any can had her was one our out day get has him his how man new now
old see two way who did its let put say she too use end off set far own run try why yes ask big car
cut eat few got hot job key law lot low map men met oil pay red sea sit six son ten top war win add
age ago air art bad bed bit box bus buy
"""
WORDS = tuple(_TEXT.split())

# A word and its space.
CHARS_PER_TOKEN = 4
