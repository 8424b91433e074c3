/* fsutil: knows `file queryfileid PATH` alone. */
#include "win.h"

int wmain(int count, WCHAR **words)
{
    BY_HANDLE_FILE_INFORMATION facts;
    HANDLE place;

    if (count != 4 || _wcsicmp(words[1], L"file") || _wcsicmp(words[2], L"queryfileid"))
        return unknown(L"fsutil", count > 2 ? words[2] : L"");
    place = CreateFileW(words[3], 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                        FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (place == INVALID_HANDLE_VALUE || !GetFileInformationByHandle(place, &facts)) {
        say(OUTPUT, L"错误:  系统找不到指定的文件。\r\n");
        return 1;
    }
    say(OUTPUT, L"文件 ID 为 0x%08lx%08lx\r\n", facts.nFileIndexHigh, facts.nFileIndexLow);
    return 0;
}
