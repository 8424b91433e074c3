/* rd and rmdir: wine's cmd.exe cannot remove a junction, and its /s would delete what lies behind one. */
#include "win.h"
#include "unix.h"

static BOOL is_junction(const WCHAR *path)
{
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_REPARSE_POINT;
}

/* wine shows no link whose target is gone, but its name is taken. */
static BOOL dangles(const WCHAR *path)
{
    if (!is_gone(path))
        return FALSE;
    if (CreateDirectoryW(path, NULL))
        return RemoveDirectoryW(path), FALSE;
    return GetLastError() == ERROR_ALREADY_EXISTS;
}

static BOOL is_free(const WCHAR *path)
{
    return is_gone(path) && !dangles(path);
}

static BOOL failed(const WCHAR *path)
{
    WCHAR words[512] = L"";
    DWORD error = GetLastError();

    FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, words, 512, NULL);
    say(ERRORS, L"%ls - %ls", path, words);
    SetLastError(error);
    return FALSE;
}

static BOOL remove_junction(const WCHAR *path)
{
    char *name = unix_name(path);
    if (name && unix_run("/bin/rm", "rm -f \"%s\"", name, NULL) && comes_true(is_free, path))
        return TRUE;
    SetLastError(ERROR_ACCESS_DENIED);
    return failed(path);
}

/* In a directory that is empty but for links which dangle. */
static BOOL remove_rest(const WCHAR *path)
{
    static const char *sweep = "find \"%s\" -mindepth 1 -maxdepth 1 -xtype l -delete";
    char *name = unix_name(path);

    if (RemoveDirectoryW(path))
        return TRUE;
    if (GetLastError() != ERROR_DIR_NOT_EMPTY || !name || !unix_run("/usr/bin/find", sweep, name, NULL))
        return failed(path);
    return comes_true(RemoveDirectoryW, path) || failed(path);
}

static BOOL remove_tree(const WCHAR *path)
{
    WCHAR inner[MAX_PATH * 4];
    WIN32_FIND_DATAW found;
    HANDLE search;
    BOOL well = TRUE;

    swprintf(inner, MAX_PATH * 4, L"%ls\\*", path);
    search = FindFirstFileW(inner, &found);
    if (search == INVALID_HANDLE_VALUE)
        return failed(path);
    do {
        if (!wcscmp(found.cFileName, L".") || !wcscmp(found.cFileName, L".."))
            continue;
        swprintf(inner, MAX_PATH * 4, L"%ls\\%ls", path, found.cFileName);
        if (is_junction(inner))
            well &= remove_junction(inner);
        else if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
            well &= remove_tree(inner);
        else if (SetFileAttributesW(inner, FILE_ATTRIBUTE_NORMAL), !DeleteFileW(inner))
            well = failed(inner);
    } while (FindNextFileW(search, &found));
    FindClose(search);
    return well && remove_rest(path);
}

int wmain(int count, WCHAR **words)
{
    BOOL whole = FALSE, well = TRUE;
    int paths = 0;

    for (int i = 1; i < count; i++) {
        if (!_wcsicmp(words[i], L"/s"))
            whole = TRUE;
        else if (words[i][0] == L'/' && _wcsicmp(words[i], L"/q"))
            return unknown(L"rd", words[i]);
    }
    for (int i = 1; i < count; i++) {
        if (words[i][0] == L'/')
            continue;
        paths++;
        if (is_free(words[i])) {
            say(ERRORS, L"系统找不到指定的文件。\r\n");
            return 2;
        }
        if (is_junction(words[i]) || dangles(words[i]))
            well &= remove_junction(words[i]);
        else if (whole)
            well &= remove_tree(words[i]);
        else if (!RemoveDirectoryW(words[i]))
            well = failed(words[i]);
    }
    return !paths ? unknown(L"rd", L"") : well ? 0 : (int)(GetLastError() ? GetLastError() : 1);
}
