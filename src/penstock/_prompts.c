/* The body of a chat, read at once: see `wire/openai.py`, whose own way
of reading says what is right. What it would not read just so is None here: forms that are rare,
texts with escapes where a name is expected, whatever is wrong.
*/
#include "_json.h"
#include "_prompt.h"

enum { LONG_CONTENT = 400000 }; /* whose parts are counted before they are read */

/* --- a chat ------------------------------------------------------------------------------ */

typedef struct {
    Span model, user, safety_identifier, cache_key, salt, stream_options, tools, functions;
    long long max_tokens, max_completion_tokens, n;
    int stream, stays, has_messages;
    Py_ssize_t answered;
} Chat;

/* Parts of a message's content that are text alone. */
static int read_parts(Scan *scan, Prompt *prompt) {
    if (takes(scan, ']')) {
        return 1;
    }
    int more;
    do {
        if (!takes(scan, '{')) {
            return 0;
        }
        scan->braces++;
        Span key, kind = {NULL, 0}, text = {NULL, 0};
        int first = 1;
        int found = next_key(scan, &first, &key);
        while (found > 0) {
            int whole;
            if (IS_CALLED(&key, "type")) {
                whole = take_text(scan, &kind);
            } else if (IS_CALLED(&key, "text")) {
                whole = take_raw(scan, &text);
            } else {
                whole = skip_value(scan);
            }
            found = whole ? goes_on(scan, '}') : -1;
            if (found > 0) {
                found = next_key(scan, &first, &key);
            }
        }
        if (found < 0 || kind.start == NULL ||
            !(IS_CALLED(&kind, "text") || IS_CALLED(&kind, "input_text") ||
              IS_CALLED(&kind, "output_text"))) {
            return 0;
        }
        if (text.start != NULL && !add_piece(prompt, text)) {
            return 0;
        }
        more = goes_on(scan, ']');
    } while (more > 0);
    return more == 0;
}

/* In the order in which they are rendered, role and content before them. */
static const Name rendered[] = {
    NAME("name"), NAME("tool_calls"), NAME("tool_call_id"),
    NAME("function_call"), NAME("reasoning_content"),
};
enum { RENDERED = sizeof rendered / sizeof *rendered };

static int read_message(Scan *scan, Prompt *prompt, Chat *chat) {
    if (!takes(scan, '{')) {
        return 0;
    }
    scan->braces++;
    Span key, content = {NULL, 0}, others[RENDERED] = {{NULL, 0}};
    Span role = {scan->at, 0};
    int first = 1;
    int found = next_key(scan, &first, &key);
    while (found > 0) {
        int whole;
        if (IS_CALLED(&key, "role")) {
            whole = take_text(scan, &role);
        } else if (IS_CALLED(&key, "content")) {
            whole = take_raw(scan, &content);
        } else {
            int which = NAME_OF(&key, rendered);
            whole = which >= 0 ? take_raw(scan, &others[which]) : skip_value(scan);
        }
        found = whole ? goes_on(scan, '}') : -1;
        if (found > 0) {
            found = next_key(scan, &first, &key);
        }
    }
    if (found < 0 || !add_piece(prompt, role)) {
        return 0;
    }
    if (content.start != NULL && *content.start == '[') {
        Scan parts = {.at = content.start + 1, .end = content.start + content.size};
        if (content.size > LONG_CONTENT || !read_parts(&parts, prompt)) {
            return 0;
        }
    } else if (content.start != NULL && !add_piece(prompt, content)) {
        return 0;
    }
    for (int i = 0; i < RENDERED; i++) {
        if (others[i].start != NULL && !add_piece(prompt, others[i])) {
            return 0;
        }
    }
    if (IS_CALLED(&role, "user") && prompt->opening == 0) {
        prompt->opening = prompt->count - RESERVED;
    } else if (IS_CALLED(&role, "assistant")) {
        chat->answered++;
    }
    return 1;
}

static int read_messages(Scan *scan, Prompt *prompt, Chat *chat) {
    if (chat->has_messages || !takes(scan, '[')) {
        return 0;
    }
    chat->has_messages = 1;
    if (takes(scan, ']')) {
        return 1;
    }
    int more;
    do {
        skip_space(scan);
        if (!read_message(scan, prompt, chat)) {
            return 0;
        }
        more = goes_on(scan, ']');
    } while (more > 0);
    return more == 0;
}

static int take_name(Scan *scan, Span *name) {
    if (is_null(scan)) {
        name->start = NULL;
        return 1;
    }
    return take_text(scan, name);
}

static int take_switch(Scan *scan, int *is_on) {
    *is_on = takes_word(scan, "true");
    return *is_on || takes_word(scan, "false") || is_null(scan);
}

/* Whether a switch is there and not off, whatever it is. */
static int take_wish(Scan *scan, int *is_wanted) {
    Span value;
    if (!take_raw(scan, &value)) {
        return 0;
    }
    *is_wanted = !IS_CALLED(&value, "false") && !IS_CALLED(&value, "null");
    return 1;
}

/* What is read otherwise: what engines tell each other, and what few ask for. */
static const Name left[] = {
    NAME("kv_transfer_params"), NAME("ec_transfer_params"), NAME("vllm_xargs"),
    NAME("bootstrap_host"), NAME("bootstrap_port"), NAME("bootstrap_room"),
    NAME("bootstrap_pair_key"), NAME("disaggregated_params"), NAME("web_search_options"),
    NAME("id_slot"),
};

static int read_field(Scan *scan, const Span *key, Prompt *prompt, Chat *chat, int *stored,
                      int *in_background) {
    if (IS_CALLED(key, "messages")) {
        return read_messages(scan, prompt, chat);
    }
    if (IS_CALLED(key, "model")) {
        return take_name(scan, &chat->model);
    }
    if (IS_CALLED(key, "stream")) {
        return take_switch(scan, &chat->stream);
    }
    if (IS_CALLED(key, "max_tokens")) {
        chat->max_tokens = 0;
        return take_count(scan, &chat->max_tokens);
    }
    if (IS_CALLED(key, "max_completion_tokens")) {
        chat->max_completion_tokens = 0;
        return take_count(scan, &chat->max_completion_tokens);
    }
    if (IS_CALLED(key, "n")) {
        chat->n = 1;
        return take_count(scan, &chat->n);
    }
    if (IS_CALLED(key, "stream_options")) {
        return take_raw(scan, &chat->stream_options);
    }
    if (IS_CALLED(key, "tools")) {
        return take_raw(scan, &chat->tools);
    }
    if (IS_CALLED(key, "functions")) {
        return take_raw(scan, &chat->functions);
    }
    if (IS_CALLED(key, "user")) {
        return take_name(scan, &chat->user);
    }
    if (IS_CALLED(key, "safety_identifier")) {
        return take_name(scan, &chat->safety_identifier);
    }
    if (IS_CALLED(key, "prompt_cache_key")) {
        return take_name(scan, &chat->cache_key);
    }
    if (IS_CALLED(key, "cache_salt")) {
        return take_name(scan, &chat->salt);
    }
    if (IS_CALLED(key, "store")) {
        return take_wish(scan, stored);
    }
    if (IS_CALLED(key, "background")) {
        return take_wish(scan, in_background);
    }
    return NAME_OF(key, left) >= 0 ? 0 : skip_value(scan);
}

static int read_chat(Scan *scan, Prompt *prompt, Chat *chat) {
    if (!takes(scan, '{')) {
        return 0;
    }
    scan->braces++;
    Span key;
    int first = 1, stored = 0, in_background = 0;
    int found = next_key(scan, &first, &key);
    while (found > 0) {
        found = read_field(scan, &key, prompt, chat, &stored, &in_background)
                    ? goes_on(scan, '}')
                    : -1;
        if (found > 0) {
            found = next_key(scan, &first, &key);
        }
    }
    if (found < 0 || !chat->has_messages || next_byte(scan) != 0 || scan->at != scan->end) {
        return 0;
    }
    chat->stays = stored || in_background;
    const Span *before[] = {&chat->functions, &chat->tools};
    for (int i = 0; i < RESERVED; i++) {
        if (before[i]->start != NULL) {
            prompt->pieces[--prompt->first] = *before[i];
            prompt->opening += prompt->opening > 0;
        }
    }
    return 1;
}

static PyObject *text_of(const Span *name) {
    if (name->start == NULL) {
        return Py_NewRef(Py_None);
    }
    return PyUnicode_DecodeASCII((const char *)name->start, name->size, NULL);
}

static PyObject *bytes_of(const Span *raw) {
    return PyBytes_FromStringAndSize((const char *)raw->start, raw->start != NULL ? raw->size : 0);
}

/* Takes them over; NULL where one could not be made. */
static PyObject *tuple_of(PyObject **values, Py_ssize_t count) {
    PyObject *made = PyTuple_New(count);
    int failed = made == NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        failed |= values[i] == NULL;
        if (made != NULL) {
            PyTuple_SET_ITEM(made, i, values[i]);
        } else {
            Py_XDECREF(values[i]);
        }
    }
    if (failed) {
        Py_CLEAR(made);
    }
    return made;
}

static PyObject *chat(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "chat(body: bytes, most_objects: int)");
        return NULL;
    }
    Py_ssize_t most = PyLong_AsSsize_t(args[1]);
    if (most < 0) {
        return NULL;
    }
    Prompt *prompt = PyObject_New(Prompt, prompt_type);
    if (prompt == NULL) {
        return NULL;
    }
    prompt->body = Py_NewRef(args[0]);
    prompt->count = prompt->first = RESERVED;
    prompt->opening = 0;
    prompt->room = 14;
    prompt->pieces = PyMem_Malloc((size_t)prompt->room * sizeof(Span));
    if (prompt->pieces == NULL) {
        Py_DECREF(prompt);
        return PyErr_NoMemory();
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    Scan scan = {.at = data, .end = data + size};
    Chat found = {.n = 1};
    int is_read = read_chat(&scan, prompt, &found);
    if (!is_read || (size > 2 * most && scan.braces > most)) {
        Py_DECREF(prompt);
        Py_RETURN_NONE;
    }
    long long limit =
        found.max_completion_tokens ? found.max_completion_tokens : found.max_tokens;
    if (found.model.start == NULL) {
        found.model.start = data; /* none is "" */
    }
    PyObject *told[] = {
        text_of(&found.model),
        PyBool_FromLong(found.stream),
        PyLong_FromLongLong(limit),
        PyLong_FromLongLong(found.n),
        PyBool_FromLong(found.stays),
        text_of(&found.cache_key),
        text_of(&found.user),
        text_of(&found.safety_identifier),
        text_of(&found.salt),
        bytes_of(&found.stream_options),
        bytes_of(&found.tools),
        PyBool_FromLong(found.functions.start != NULL),
        PyLong_FromSsize_t(found.answered),
        PyLong_FromSsize_t(size_of(prompt)),
        (PyObject *)prompt,
    };
    return tuple_of(told, sizeof told / sizeof *told);
}

static PyMethodDef functions[] = {
    {"chat", (PyCFunction)(void (*)(void))chat, METH_FASTCALL,
     "What a chat asks for, and its prompt; None where it is to be read the other way."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._prompts",
    .m_doc = "Bodies of chats, read at once.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__prompts(void) {
    PyObject *module = PyModule_Create(&definition);
    prompt_type = module != NULL ? (PyTypeObject *)PyType_FromSpec(&prompt_spec) : NULL;
    if (prompt_type == NULL) {
        Py_CLEAR(module);
    }
    return module;
}
