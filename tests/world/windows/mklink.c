/* `mklink /j LINK TARGET`, which wine's cmd.exe cannot do: here a junction is a symbolic link of the Unix below. */
#include "win.h"
#include "unix.h"

int wmain(int count, WCHAR **words)
{
    WCHAR target[MAX_PATH];
    char *unix_target, *unix_link;

    if (count != 4 || _wcsicmp(words[1], L"/j"))
        return unknown(L"mklink", count > 1 ? words[1] : L"");
    if (GetFileAttributesW(words[2]) != INVALID_FILE_ATTRIBUTES) {
        say(ERRORS, L"当文件已存在时，无法创建该文件。\r\n");
        return 1;
    }
    GetFullPathNameW(words[3], MAX_PATH, target, NULL);
    unix_target = unix_name(target);
    unix_link = unix_name(words[2]);
    if (!unix_target || !unix_link || !unix_run("/bin/ln", "ln -s \"%s\" \"%s\"", unix_target, unix_link) || !comes_true(is_there, words[2])) {
        say(ERRORS, L"系统找不到指定的路径。\r\n");
        return 1;
    }
    say(OUTPUT, L"为 %ls <<===>> %ls 创建的联接\r\n", words[2], words[3]);
    return 0;
}
