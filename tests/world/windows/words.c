/* Tells the words it was called with: each as UTF-8 on a line of its own, behind `=`, then a line with a dot. For tests of
 * quoting; it is not on the host's drive. */
#include "win.h"

int wmain(int count, WCHAR **words)
{
    char text[8192];

    for (int i = 1; i < count; i++) {
        int size = WideCharToMultiByte(CP_UTF8, 0, words[i], -1, text, sizeof text, NULL, NULL);

        if (size < 1)
            return 1;
        printf("=%s\n", text);
    }
    printf(".\n");
    return 0;
}
