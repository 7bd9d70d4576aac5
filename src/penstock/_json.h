/* Reads JSON (RFC 8259) in place, at some bytes in one instruction, without making anything of it.

Whoever uses it takes only what is certainly right: where a function returns 0 the text is left to
the decoder that can say what is wrong with it, or what it is after all.
*/
#ifndef PENSTOCK_JSON_H
#define PENSTOCK_JSON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { DEEPEST = 64 }; /* nesting that is followed */

typedef struct {
    const unsigned char *start;
    Py_ssize_t size;
} Span;

typedef struct {
    const unsigned char *at;
    const unsigned char *end;
    Py_ssize_t braces;  /* "{" that were passed, in texts too */
    Py_ssize_t escapes; /* likewise */
    int depth;
} Scan;

static int is_hex(unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static int hex_value(unsigned char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

/* The code unit of `\uXXXX` at `p`, or -1. */
static int code_unit(const unsigned char *p, const unsigned char *end) {
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return -1;
    }
    int unit = 0;
    for (int i = 2; i < 6; i++) {
        if (!is_hex(p[i])) {
            return -1;
        }
        unit = unit * 16 + hex_value(p[i]);
    }
    return unit;
}

/* Behind the escape at `p`; NULL for what is none, surrogates that are alone among them. */
static const unsigned char *behind_escape(const unsigned char *p, const unsigned char *end) {
    if (end - p < 2) {
        return NULL;
    }
    switch (p[1]) {
    case 'n':
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        break;
    default:
        return NULL;
    }
    int unit = code_unit(p, end);
    if (unit < 0 || (unit >= 0xDC00 && unit < 0xE000)) {
        return NULL;
    }
    if (unit < 0xD800 || unit >= 0xE000) {
        return p + 6;
    }
    int low = code_unit(p + 6, end);
    return low >= 0xDC00 && low < 0xE000 ? p + 12 : NULL;
}

#ifdef __SSE2__
/* 0xFF where a text may end or is wrong: at quotes, escapes and control characters. */
static inline __m128i halts(__m128i bytes) {
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i escape = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    return _mm_or_si128(control, _mm_or_si128(quote, escape));
}

/* The next byte at which to look closer: at 16 in one go, and at 32 in a text that is longer. */
static inline const unsigned char *next_halt(Scan *scan, const unsigned char *p) {
    const __m128i brace = _mm_set1_epi8('{');
    while (scan->end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        unsigned at = (unsigned)_mm_movemask_epi8(halts(bytes));
        unsigned opened = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, brace));
        if (at) {
            opened &= (1U << __builtin_ctz(at)) - 1;
        }
        scan->braces += opened ? __builtin_popcount(opened) : 0;
        if (at) {
            return p + __builtin_ctz(at);
        }
        p += 16;
        while (scan->end - p >= 32) {
            __m128i one = _mm_loadu_si128((const __m128i *)p);
            __m128i other = _mm_loadu_si128((const __m128i *)(p + 16));
            __m128i found = _mm_or_si128(halts(one), halts(other));
            found = _mm_or_si128(found, _mm_cmpeq_epi8(one, brace));
            found = _mm_or_si128(found, _mm_cmpeq_epi8(other, brace));
            if (_mm_movemask_epi8(found)) {
                break;
            }
            p += 32;
        }
    }
    return p;
}
#endif

/* From behind a text's first quote to behind its last. */
static int skip_string(Scan *scan) {
    const unsigned char *p = scan->at;
    const unsigned char *end = scan->end;
    for (;;) {
#ifdef __SSE2__
        p = next_halt(scan, p);
#endif
        if (p >= end || *p < 0x20) {
            return 0;
        }
        if (*p == '"') {
            scan->at = p + 1;
            return 1;
        }
        if (*p == '\\') {
            p = behind_escape(p, end);
            scan->escapes++;
            if (p == NULL) {
                return 0;
            }
            continue;
        }
        scan->braces += *p == '{';
        p++;
    }
}

static void skip_space(Scan *scan) {
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')) {
        scan->at++;
    }
}

/* The byte that follows white space; 0 at the end. */
static unsigned char next_byte(Scan *scan) {
    skip_space(scan);
    return scan->at < scan->end ? *scan->at : 0;
}

static int takes(Scan *scan, unsigned char wanted) {
    if (next_byte(scan) != wanted) {
        return 0;
    }
    scan->at++;
    return 1;
}

static int takes_word(Scan *scan, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0) {
        return 0;
    }
    scan->at += size;
    return 1;
}

static int skip_digits(Scan *scan) {
    const unsigned char *start = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return scan->at > start;
}

/* One without an exponent. */
static int skip_number(Scan *scan) {
    if (*scan->at == '-') {
        scan->at++;
    }
    const unsigned char *start = scan->at;
    if (!skip_digits(scan) || (*start == '0' && scan->at > start + 1)) {
        return 0;
    }
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (!skip_digits(scan)) {
            return 0;
        }
    }
    return scan->at >= scan->end || (*scan->at | 32) != 'e';
}

/* A key of an object, or its end: 1 and `at` on the value, 0 behind the end, -1 for anything else,
a key with an escape among it. `first` is 1 before the first key. */
static int next_key(Scan *scan, int *first, Span *key) {
    if (takes(scan, '}')) {
        return *first ? 0 : -1;
    }
    if (!takes(scan, '"')) {
        return -1;
    }
    key->start = scan->at;
    Py_ssize_t escapes = scan->escapes;
    if (!skip_string(scan)) {
        return -1;
    }
    key->size = scan->at - 1 - key->start;
    if (scan->escapes != escapes || !takes(scan, ':')) {
        return -1;
    }
    *first = 0;
    skip_space(scan);
    return 1;
}

/* Behind a value of an object or an array: 1 where another follows, 0 behind the end, -1 else. */
static int goes_on(Scan *scan, unsigned char closing) {
    unsigned char found = next_byte(scan);
    if (found != ',' && found != closing) {
        return -1;
    }
    scan->at++;
    return found == ',';
}

static int skip_value(Scan *scan);

static int skip_object(Scan *scan) {
    Span key;
    int first = 1;
    int more = next_key(scan, &first, &key);
    while (more > 0) {
        if (!skip_value(scan)) {
            return 0;
        }
        more = goes_on(scan, '}');
        if (more > 0) {
            more = next_key(scan, &first, &key);
        }
    }
    return more == 0;
}

static int skip_array(Scan *scan) {
    if (takes(scan, ']')) {
        return 1;
    }
    int more;
    do {
        if (!skip_value(scan)) {
            return 0;
        }
        more = goes_on(scan, ']');
    } while (more > 0);
    return more == 0;
}

/* A value, of whatever kind, white space before it. */
static int skip_value(Scan *scan) {
    switch (next_byte(scan)) {
    case '"':
        scan->at++;
        return skip_string(scan);
    case '{':
    case '[': {
        int is_object = *scan->at == '{';
        scan->braces += is_object;
        scan->at++;
        if (++scan->depth > DEEPEST) {
            return 0;
        }
        int whole = is_object ? skip_object(scan) : skip_array(scan);
        scan->depth--;
        return whole;
    }
    case 't':
        return takes_word(scan, "true");
    case 'f':
        return takes_word(scan, "false");
    case 'n':
        return takes_word(scan, "null");
    case 0:
        return 0;
    default:
        return skip_number(scan);
    }
}

/* A value as it stands. */
static int take_raw(Scan *scan, Span *value) {
    value->start = scan->at;
    if (!skip_value(scan)) {
        return 0;
    }
    value->size = scan->at - value->start;
    return 1;
}

/* A text of ASCII without escapes, its quotes excluded. */
static int take_text(Scan *scan, Span *value) {
    if (!takes(scan, '"')) {
        return 0;
    }
    value->start = scan->at;
    if (!skip_string(scan)) {
        return 0;
    }
    value->size = scan->at - 1 - value->start;
    for (Py_ssize_t i = 0; i < value->size; i++) {
        if (value->start[i] == '\\' || value->start[i] >= 0x80) {
            return 0;
        }
    }
    return 1;
}

static int is_null(Scan *scan) { return takes_word(scan, "null"); }

/* A whole number, or null, which leaves `value`. */
static int take_count(Scan *scan, long long *value) {
    if (is_null(scan)) {
        return 1;
    }
    const unsigned char *start = scan->at;
    int negative = start < scan->end && *start == '-';
    if (scan->at >= scan->end || !skip_number(scan) || scan->at - start > 18) {
        return 0;
    }
    long long found = 0;
    for (const unsigned char *p = start + negative; p < scan->at; p++) {
        if (*p == '.') {
            return 0;
        }
        found = found * 10 + (*p - '0');
    }
    *value = negative ? -found : found;
    return 1;
}

/* `name` is a literal: its size is known, and the comparison is of that. */
#define IS_CALLED(key, name)                                                                       \
    ((key)->size == (Py_ssize_t)sizeof(name) - 1 &&                                                \
     memcmp((key)->start, name, sizeof(name) - 1) == 0)

typedef struct {
    const char *text;
    Py_ssize_t size;
} Name;

#define NAME(text)                                                                                 \
    { text, sizeof(text) - 1 }

/* Which of the names it is; -1 for none of them. */
static int name_of(const Span *key, const Name *names, int count) {
    for (int i = 0; i < count; i++) {
        if (key->size == names[i].size &&
            memcmp(key->start, names[i].text, (size_t)key->size) == 0) {
            return i;
        }
    }
    return -1;
}

#define NAME_OF(key, names) name_of(key, names, sizeof names / sizeof *names)

#endif
