/* findstr: wine's own ignores most options. Literals and the real one's small regular expressions (. * ^ $ [a-z] [^a-z] \x), options
 * /b /e /x /i /v /n /m /r /l /c:WORDS /g:FILE; bytes, as the real one, with no notion of a code page. */
#include "win.h"
#include <ctype.h>
#include <fcntl.h>
#include <io.h>

static BOOL begins, ends, caseless, inverted, numbered, names_only, literal, regular;
static char *patterns[256];
static BOOL exact[256];
static int pattern_count;

static int fold(int letter)
{
    return caseless ? tolower(letter) : letter;
}

/* Whether one element of a pattern takes the letter; sets *next to what follows the element. */
static BOOL takes(const char *element, unsigned char letter, const char **next)
{
    BOOL hit = FALSE, outside = FALSE;

    if (*element == '[' && strchr(element + 1, ']')) {
        if (*++element == '^')
            outside = TRUE, element++;
        for (; *element != ']'; element++) {
            unsigned char last = element[1] == '-' && element[2] != ']' ? element[2] : element[0];
            if (fold(letter) >= fold((unsigned char)*element) && fold(letter) <= fold(last))
                hit = TRUE;
            if (last != (unsigned char)element[0])
                element += 2;
        }
        *next = element + 1;
        return letter && hit != outside;
    }
    if (*element == '.') {
        *next = element + 1;
        return letter != 0;
    }
    if (*element == '\\' && element[1])
        element++;
    *next = element + 1;
    return letter && fold((unsigned char)*element) == fold(letter);
}

static BOOL match_here(const char *pattern, const char *text, BOOL to_end)
{
    const char *next;

    if (!*pattern)
        return !to_end || !*text;
    if (*pattern == '$' && !pattern[1])
        return !*text;
    takes(pattern, *text, &next);
    if (*next == '*') {
        const char *rest = text, *ignored;
        do {
            if (match_here(next + 1, rest, to_end))
                return TRUE;
        } while (takes(pattern, *rest++, &ignored));
        return FALSE;
    }
    return takes(pattern, *text, &next) && match_here(next, text + 1, to_end);
}

static BOOL literal_here(const char *pattern, const char *text, BOOL to_end)
{
    for (; *pattern; pattern++, text++) {
        if (*pattern == '\\' && (pattern[1] == '\\' || pattern[1] == '"'))
            pattern++;
        if (!*text || fold((unsigned char)*pattern) != fold((unsigned char)*text))
            return FALSE;
    }
    return !to_end || !*text;
}

static BOOL matches(const char *line)
{
    for (int i = 0; i < pattern_count; i++) {
        BOOL plain = literal || (exact[i] && !regular);
        BOOL anchored = begins || (!plain && *patterns[i] == '^');
        const char *pattern = patterns[i] + (!plain && *patterns[i] == '^');

        if (!*patterns[i])
            continue;
        for (const char *at = line;; at++) {
            if (plain ? literal_here(pattern, at, ends) : match_here(pattern, at, ends))
                return TRUE;
            if (!*at || anchored)
                break;
        }
    }
    return FALSE;
}

static BOOL search(FILE *file, const char *name)
{
    static char line[1 << 16];
    BOOL any = FALSE;

    for (int number = 1; fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "\r\n")] = 0;
        if (matches(line) == inverted)
            continue;
        any = TRUE;
        if (names_only) {
            printf("%s\r\n", name);
            break;
        }
        if (name)
            printf("%s:", name);
        if (numbered)
            printf("%d:", number);
        printf("%s\r\n", line);
    }
    return any;
}

static void add(const char *pattern, BOOL whole)
{
    char *copy = _strdup(pattern);

    if (whole) {
        exact[pattern_count] = TRUE;
        patterns[pattern_count++] = copy;
        return;
    }
    for (char *word = strtok(copy, " "); word && pattern_count < 255; word = strtok(NULL, " "))
        patterns[pattern_count++] = word;
}

static BOOL add_from(const char *name)
{
    static char line[4096];
    FILE *file = fopen(name, "rb");

    while (file && fgets(line, sizeof line, file) && pattern_count < 255) {
        line[strcspn(line, "\r\n")] = 0;
        add(line, TRUE);
    }
    return file && !fclose(file);
}

static BOOL option(const char *word)
{
    if (!_strnicmp(word, "/c:", 3))
        add(word + 3, TRUE);
    else if (!_strnicmp(word, "/g:", 3))
        return add_from(word + 3);
    else
        for (const char *letter = word + 1; *letter; letter++)
            switch (tolower(*letter)) {
            case 'b': begins = TRUE; break;
            case 'e': ends = TRUE; break;
            case 'x': begins = ends = TRUE; break;
            case 'i': caseless = TRUE; break;
            case 'v': inverted = TRUE; break;
            case 'n': numbered = TRUE; break;
            case 'm': names_only = TRUE; break;
            case 'r': regular = TRUE; break;
            case 'l': literal = TRUE; break;
            default: return FALSE;
            }
    return TRUE;
}

static int run(int count, char **words)
{
    BOOL any = FALSE;
    int i;

    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    for (i = 1; i < count && words[i][0] == '/'; i++)
        if (!option(words[i])) {
            fprintf(stderr, "findstr: this stand-in knows no `%s`\r\n", words[i]);
            return 2;
        }
    if (!pattern_count && i < count)
        add(words[i++], FALSE);
    if (!pattern_count)
        return 2;
    if (i == count)
        return search(stdin, NULL) ? 0 : 1;
    for (int several = i + 1 < count; i < count; i++) {
        FILE *file = fopen(words[i], "rb");
        if (!file) {
            fprintf(stderr, "FINDSTR: cannot open %s\r\n", words[i]);
            continue;
        }
        any |= search(file, several || names_only ? words[i] : NULL);
        fclose(file);
    }
    return any ? 0 : 1;
}

/* In the host's code page, as the lines are. */
int wmain(int count, WCHAR **words)
{
    char **narrow = calloc(count, sizeof *narrow);

    for (int i = 0; i < count; i++) {
        int size = WideCharToMultiByte(CP_ACP, 0, words[i], -1, NULL, 0, NULL, NULL);
        narrow[i] = malloc(size);
        WideCharToMultiByte(CP_ACP, 0, words[i], -1, narrow[i], size, NULL, NULL);
    }
    return run(count, narrow);
}
