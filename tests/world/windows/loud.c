/* Stands where wine has a program that does nothing and says it succeeded. */
#include "win.h"

int wmain(void)
{
    WCHAR path[MAX_PATH];

    GetModuleFileNameW(NULL, path, MAX_PATH);
    say(ERRORS, L"%ls: this host has no such program\r\n", wcsrchr(path, L'\\') + 1);
    return 127;
}
