/* A whole answer, or an event of one, read at once: see `wire/sse.py`, whose own way of reading says
what is right. What it would not read just so is None here: other APIs, names with escapes, whatever
is wrong.
*/
#include "_json.h"

typedef struct {
    Span finish_reason;
    long long prompt, output, cached;
} Answer;

/* What of an answer is read otherwise, where it is anything but null. */
static const Name other_forms[] = {
    NAME("timings"), NAME("delta"), NAME("message"),
    NAME("response"), NAME("stop_reason"),
};
static const Name other_usage[] = {
    NAME("input_tokens"), NAME("output_tokens"), NAME("input_tokens_details"),
    NAME("input_token_details"), NAME("cache_read_input_tokens"), NAME("cache_creation_input_tokens"),
};

typedef int (*TakeField)(Scan *scan, const Span *key, Answer *answer);

static int take_fields(Scan *scan, TakeField take, Answer *answer) {
    if (!takes(scan, '{')) {
        return 0;
    }
    Span key;
    int first = 1;
    int found = next_key(scan, &first, &key);
    while (found > 0) {
        found = take(scan, &key, answer) ? goes_on(scan, '}') : -1;
        if (found > 0) {
            found = next_key(scan, &first, &key);
        }
    }
    return found == 0;
}

/* What is below zero is no count, and -1 stands for none. */
static int take_tokens(Scan *scan, long long *tokens) {
    *tokens = -1;
    return (scan->at >= scan->end || *scan->at != '-') && take_count(scan, tokens);
}

static int take_cached(Scan *scan, const Span *key, Answer *answer) {
    if (IS_CALLED(key, "cached_tokens")) {
        return take_tokens(scan, &answer->cached);
    }
    return skip_value(scan);
}

static int take_usage(Scan *scan, const Span *key, Answer *answer) {
    if (IS_CALLED(key, "prompt_tokens")) {
        return take_tokens(scan, &answer->prompt);
    }
    if (IS_CALLED(key, "completion_tokens")) {
        return take_tokens(scan, &answer->output);
    }
    if (IS_CALLED(key, "prompt_tokens_details")) {
        answer->cached = -1;
        return is_null(scan) || take_fields(scan, take_cached, answer);
    }
    return NAME_OF(key, other_usage) >= 0 ? is_null(scan) : skip_value(scan);
}

static int take_choice(Scan *scan, const Span *key, Answer *answer) {
    if (!IS_CALLED(key, "finish_reason")) {
        return skip_value(scan);
    }
    Span reason = {NULL, 0};
    if (!is_null(scan) && !take_text(scan, &reason)) {
        return 0;
    }
    if (reason.size > 0) {
        answer->finish_reason = reason;
    }
    return 1;
}

static int take_choices(Scan *scan, Answer *answer) {
    if (is_null(scan)) {
        return 1;
    }
    if (!takes(scan, '[')) {
        return 0;
    }
    if (takes(scan, ']')) {
        return 1;
    }
    int more;
    do {
        more = take_fields(scan, take_choice, answer) ? goes_on(scan, ']') : -1;
    } while (more > 0);
    return more == 0;
}

static int take_top(Scan *scan, const Span *key, Answer *answer) {
    Span text;
    if (IS_CALLED(key, "usage")) {
        answer->prompt = answer->cached = answer->output = -1; /* the last one counts */
        return is_null(scan) || take_fields(scan, take_usage, answer);
    }
    if (IS_CALLED(key, "choices")) {
        answer->finish_reason.size = 0;
        return take_choices(scan, answer);
    }
    if (IS_CALLED(key, "object")) {
        return take_text(scan, &text) && !IS_CALLED(&text, "response");
    }
    if (IS_CALLED(key, "id")) {
        return take_text(scan, &text);
    }
    return NAME_OF(key, other_forms) >= 0 ? is_null(scan) : skip_value(scan);
}

static PyObject *answer(PyObject *module, PyObject *body) {
    if (!PyBytes_Check(body)) {
        PyErr_SetString(PyExc_TypeError, "answer(body: bytes)");
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(body);
    Scan scan = {.at = data, .end = data + PyBytes_GET_SIZE(body)};
    Answer found = {{data, 0}, -1, -1, -1};
    if (!take_fields(&scan, take_top, &found) || next_byte(&scan) != 0 || scan.at != scan.end) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(NLLL)", 
                         PyUnicode_DecodeASCII((const char *)found.finish_reason.start,
                                               found.finish_reason.size, NULL),
                         found.prompt, found.cached,
                         found.output);
}

static PyMethodDef functions[] = {
    {"answer", answer, METH_O,
     "Finish reason, prompt, cached and output tokens that an answer tells, -1 where it does not; "
     "None where it is to be read the other way."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._answers",
    .m_doc = "Answers of language models, read at once.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__answers(void) { return PyModule_Create(&definition); }
