/* icacls: wine keeps no access rules that anybody checks, so what was asked is written to C:\windows\icacls.log, a line each. */
#include "win.h"

static BOOL takes_value(const WCHAR *word)
{
    static const WCHAR *options[] = { L"/grant", L"/grant:r", L"/remove", L"/remove:g", L"/remove:d", L"/setowner", L"/deny" };
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        if (!_wcsicmp(word, options[i]))
            return TRUE;
    return FALSE;
}

static BOOL stands_alone(const WCHAR *word)
{
    static const WCHAR *options[] = { L"/inheritance:r", L"/inheritance:d", L"/inheritance:e", L"/reset", L"/t", L"/c", L"/q", L"/l" };
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        if (!_wcsicmp(word, options[i]))
            return TRUE;
    return FALSE;
}

int wmain(int count, WCHAR **words)
{
    FILE *log;
    int i = 2;

    if (count < 3)
        return unknown(L"icacls", L"PATH without options");
    while (i < count) {
        if (stands_alone(words[i]))
            i++;
        else if (takes_value(words[i]) && i + 1 < count && words[i + 1][0] != L'/')
            /* One option may be followed by several accounts. */
            for (i++; i < count && words[i][0] != L'/';)
                i++;
        else
            return unknown(L"icacls", words[i]);
    }
    if (GetFileAttributesW(words[1]) == INVALID_FILE_ATTRIBUTES) {
        say(ERRORS, L"%ls: 系统找不到指定的文件。\r\n已成功处理 0 个文件; 处理 1 个文件时失败\r\n", words[1]);
        return 2;
    }
    if (!(log = _wfopen(L"C:\\windows\\icacls.log", L"ab")))
        return 5;
    for (i = 1; i < count; i++) {
        char bytes[1024];
        WideCharToMultiByte(CP_OEMCP, 0, words[i], -1, bytes, sizeof bytes, NULL, NULL);
        fprintf(log, i > 1 ? " %s" : "%s", bytes);
    }
    fprintf(log, "\r\n");
    fclose(log);
    say(OUTPUT, L"已处理的文件: %ls\r\n已成功处理 1 个文件; 处理 0 个文件时失败\r\n", words[1]);
    return 0;
}
