/* timeout: as the real one, it refuses to run where its input is not a console, which it never is over SSH. */
#include "win.h"

int wmain(int count, WCHAR **words)
{
    DWORD mode, seconds = 0;

    for (int i = 1; i < count; i++) {
        if (iswdigit(words[i][0]))
            seconds = _wtoi(words[i]);
        else if (_wcsicmp(words[i], L"/t") && _wcsicmp(words[i], L"/nobreak"))
            return unknown(L"timeout", words[i]);
    }
    if (!GetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), &mode)) {
        say(ERRORS, L"错误: 不支持输入重新定向，立即退出此进程。\r\n");
        return 1;
    }
    Sleep(seconds * 1000);
    return 0;
}
