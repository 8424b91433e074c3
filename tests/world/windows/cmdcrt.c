/* Stands before the C library of wine's cmd.exe, whose `for /f` reads bytes in the library's locale, and cmd.exe never sets one: here
 * it is the host's, as on Windows. Everything else is the library's own (the list of names is made of cmd.exe's imports). */
#include "win.h"
#include <locale.h>

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, void *unused)
{
    (void)self, (void)unused;
    if (reason == DLL_PROCESS_ATTACH)
        ((char *(*)(int, const char *))(void *)GetProcAddress(GetModuleHandleW(L"ucrtbase.dll"), "setlocale"))(LC_CTYPE, "");
    return TRUE;
}
