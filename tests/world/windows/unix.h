/* The Unix below wine. A Unix process that was started from here cannot be waited for, so its effect is. */
#ifndef UNIX_H
#define UNIX_H
#include "win.h"

/* The name that a path has on Unix, whether or not the last part of it is there. */
static inline char *unix_name(const WCHAR *path)
{
    WCHAR whole[MAX_PATH * 2];
    char *(CDECL *convert)(const WCHAR *) = (void *)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "wine_get_unix_file_name");

    GetFullPathNameW(path, MAX_PATH * 2, whole, NULL);
    return convert ? convert(whole) : NULL;
}

/* The words of the line are the caller's to quote. */
static inline BOOL unix_run(const char *program, const char *format, const char *first, const char *second)
{
    WCHAR path[64], line[MAX_PATH * 6];
    char bytes[MAX_PATH * 6];
    STARTUPINFOW startup = { .cb = sizeof startup };
    PROCESS_INFORMATION process;

    swprintf(path, 64, L"\\\\?\\unix%hs", program);
    snprintf(bytes, sizeof bytes, format, first, second);
    MultiByteToWideChar(CP_UTF8, 0, bytes, -1, line, MAX_PATH * 6);
    return CreateProcessW(path, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &process);
}

static inline BOOL is_there(const WCHAR *path)
{
    return GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
}

static inline BOOL is_gone(const WCHAR *path)
{
    return !is_there(path);
}

static inline BOOL comes_true(BOOL (WINAPI *what)(const WCHAR *), const WCHAR *path)
{
    for (int tries = 0; tries < 400; tries++) {
        if (what(path))
            return TRUE;
        Sleep(5);
    }
    return FALSE;
}
#endif
