/* What the stand-ins share: they write in the host's own code page, as the programs they stand for do. */
#ifndef WIN_H
#define WIN_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <windows.h>

#define OUTPUT STD_OUTPUT_HANDLE
#define ERRORS STD_ERROR_HANDLE

static inline void say(DWORD stream, const WCHAR *format, ...)
{
    static WCHAR text[40000];
    static char bytes[120000];
    DWORD written;
    va_list list;

    va_start(list, format);
    int length = _vsnwprintf(text, 39999, format, list);
    va_end(list);
    if (length < 0)
        length = 39999;
    length = WideCharToMultiByte(CP_OEMCP, 0, text, length, bytes, sizeof bytes, NULL, NULL);
    WriteFile(GetStdHandle(stream), bytes, length, &written, NULL);
}

/* What a stand-in was never taught has to fail a test, not pass it. */
static inline int unknown(const WCHAR *program, const WCHAR *word)
{
    say(ERRORS, L"%ls: this stand-in knows no `%ls`\r\n", program, word);
    return 127;
}
#endif
