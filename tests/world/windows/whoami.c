/* whoami, with the two groups that tell an elevated Administrator from one whose token is filtered: C:\windows\filtered, if there is
 * such a file, makes this one's filtered. */
#include "win.h"

static void group(BOOL csv, const WCHAR *name, const WCHAR *type, const WCHAR *sid, const WCHAR *attributes)
{
    if (csv)
        say(OUTPUT, L"\"%ls\",\"%ls\",\"%ls\",\"%ls\"\r\n", name, type, sid, attributes);
    else
        say(OUTPUT, L"%-38ls %-6ls %-12ls %ls\r\n", name, type, sid, attributes);
}

static void groups(BOOL csv, BOOL header)
{
    BOOL filtered = GetFileAttributesW(L"C:\\windows\\filtered") != INVALID_FILE_ATTRIBUTES;

    if (!csv)
        say(OUTPUT, L"\r\n组信息\r\n-----------------\r\n\r\n");
    if (header)
        group(csv, L"组名", L"类型", L"SID", L"属性");
    if (header && !csv)
        say(OUTPUT, L"====================================== ====== ============ ==============================\r\n");
    group(csv, L"Everyone", L"已知组", L"S-1-1-0", L"必需的组, 启用于默认, 启用的组");
    group(csv, L"BUILTIN\\Administrators", L"别名", L"S-1-5-32-544",
          filtered ? L"只用于拒绝的组" : L"必需的组, 启用于默认, 启用的组, 组的所有者");
    group(csv, L"NT AUTHORITY\\Authenticated Users", L"已知组", L"S-1-5-11", L"必需的组, 启用于默认, 启用的组");
    if (filtered)
        group(csv, L"Mandatory Label\\Medium Mandatory Level", L"标签", L"S-1-16-8192", L"");
    else
        group(csv, L"Mandatory Label\\High Mandatory Level", L"标签", L"S-1-16-12288", L"");
}

int wmain(int count, WCHAR **words)
{
    WCHAR host[256], user[256];
    DWORD host_size = 256, user_size = 256;
    BOOL csv = FALSE, header = TRUE, want_groups = FALSE;

    for (int i = 1; i < count; i++) {
        if (!_wcsicmp(words[i], L"/groups"))
            want_groups = TRUE;
        else if (!_wcsicmp(words[i], L"/nh"))
            header = FALSE;
        else if (!_wcsicmp(words[i], L"/fo") && i + 1 < count && !_wcsicmp(words[i + 1], L"csv"))
            csv = TRUE, i++;
        else
            return unknown(L"whoami", words[i]);
    }
    if (want_groups) {
        groups(csv, header);
        return 0;
    }
    GetComputerNameW(host, &host_size);
    GetUserNameW(user, &user_size);
    say(OUTPUT, L"%ls\\%ls\r\n", _wcslwr(host), _wcslwr(user));
    return 0;
}
