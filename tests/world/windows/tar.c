/* tar -xf FILE -C DIR, of a .tgz or a plain archive: directories and files, ustar, with the long names of pax and of GNU. Windows's own
 * tar, libarchive's, can do more; what this one does not know it refuses. */
#include "win.h"
#include <zlib.h>

static WCHAR root[MAX_PATH * 2];

static int failed(const char *name, const char *why)
{
    fprintf(stderr, "tar.exe: %s: %s\r\ntar.exe: Error exit delayed from previous errors.\r\n", name, why);
    return 1;
}

static unsigned long long octal(const char *field, int size)
{
    unsigned long long value = 0;
    for (int i = 0; i < size && field[i]; i++)
        if (field[i] >= '0' && field[i] <= '7')
            value = value * 8 + (field[i] - '0');
    return value;
}

/* Absolute names and `..` are refused; a header says in its own bytes what a name is, pax in UTF-8. */
static BOOL place(const char *name, UINT code_page, WCHAR *path)
{
    WCHAR wide[MAX_PATH * 2];

    if (!MultiByteToWideChar(code_page, 0, name, -1, wide, MAX_PATH * 2))
        return FALSE;
    for (WCHAR *at = wide; *at; at++)
        if (*at == L'/')
            *at = L'\\';
    if (wide[0] == L'\\' || wcschr(wide, L':') || !wcscmp(wide, L"..") || !wcsncmp(wide, L"..\\", 3) || wcsstr(wide, L"\\..\\"))
        return FALSE;
    return swprintf(path, MAX_PATH * 4, L"%ls\\%ls", root, wide) > 0;
}

static void make_parents(WCHAR *path, BOOL itself)
{
    for (WCHAR *at = path + wcslen(root) + 1; *at; at++)
        if (*at == L'\\') {
            *at = 0;
            CreateDirectoryW(path, NULL);
            *at = L'\\';
        }
    if (itself)
        CreateDirectoryW(path, NULL);
}

/* Reads an entry's content, padded to whole blocks, into a file or (where there is none) into memory. */
static BOOL content(gzFile archive, unsigned long long size, FILE *file, char *memory)
{
    static char block[512 * 128];

    while (size > 0) {
        unsigned want = size < sizeof block ? (unsigned)size : sizeof block, padded = (want + 511) / 512 * 512;
        if (gzread(archive, block, padded) != (int)padded)
            return FALSE;
        if (file && fwrite(block, 1, want, file) != want)
            return FALSE;
        if (memory) {
            memcpy(memory, block, want);
            memory += want;
        }
        size -= want;
    }
    return TRUE;
}

static void pax_path(const char *records, char *name)
{
    for (const char *at = records; *at;) {
        int length = atoi(at);
        const char *key = strchr(at, ' ');
        if (length <= 0 || !key)
            return;
        if (!strncmp(key + 1, "path=", 5))
            snprintf(name, 4096, "%.*s", (int)(at + length - key - 7), key + 6);
        at += length;
    }
}

static int extract(gzFile archive)
{
    static char header[512], name[4096], long_name[4096], extra[1 << 16];
    static WCHAR path[MAX_PATH * 4];

    while (gzread(archive, header, 512) == 512 && header[0]) {
        unsigned long long size = octal(header + 124, 12);
        char type = header[156];

        if (type == 'L' || type == 'x' || type == 'g') {
            memset(extra, 0, sizeof extra);
            if (size >= sizeof extra || !content(archive, size, NULL, extra))
                return failed(header, "a header that is too long or cut off");
            if (type == 'L')
                snprintf(long_name, sizeof long_name, "%s", extra);
            if (type == 'x')
                pax_path(extra, long_name);
            continue;
        }
        if (long_name[0])
            strcpy(name, long_name);
        else if (header[345])
            snprintf(name, sizeof name, "%.155s/%.100s", header + 345, header);
        else
            snprintf(name, sizeof name, "%.100s", header);
        if (!place(name, long_name[0] ? CP_UTF8 : CP_ACP, path))
            return failed(name, "Path is absolute or contains '..'");
        long_name[0] = 0;
        if (type == '5') {
            make_parents(path, TRUE);
        } else if (type == '0' || type == 0) {
            FILE *file;
            make_parents(path, FALSE);
            DeleteFileW(path);
            if (!(file = _wfopen(path, L"wb")))
                return failed(name, "Can't create");
            if (!content(archive, size, file, NULL) || fclose(file))
                return failed(name, "Truncated input or no space");
        } else {
            return failed(name, "a kind of entry that this stand-in does not know");
        }
    }
    return gzeof(archive) || header[0] == 0 ? 0 : failed("archive", "Truncated input file (needed more bytes)");
}

int wmain(int count, WCHAR **words)
{
    const WCHAR *from = NULL, *into = L".";
    gzFile archive;
    int result;

    if (count == 2 && !wcscmp(words[1], L"--version")) {
        say(OUTPUT, L"bsdtar 3.6.2 - libarchive 3.6.2 zlib/1.2.5.f-ipp bz2lib/1.0.8\r\n");
        return 0;
    }
    for (int i = 1; i < count; i++) {
        if ((!wcscmp(words[i], L"-xf") || !wcscmp(words[i], L"-xzf")) && i + 1 < count)
            from = words[++i];
        else if (!wcscmp(words[i], L"-C") && i + 1 < count)
            into = words[++i];
        else
            return unknown(L"tar", words[i]), 1;
    }
    if (!from || !(archive = gzopen_w(from, "rb")))
        return failed("Error opening archive", "Failed to open");
    GetFullPathNameW(into, MAX_PATH * 2, root, NULL);
    if (GetFileAttributesW(root) == INVALID_FILE_ATTRIBUTES)
        return failed("could not chdir", "no such directory");
    result = extract(archive);
    /* A check sum that does not fit is told at the end only. */
    return gzclose(archive) != Z_OK && !result ? failed("archive", "gzip data is damaged") : result;
}
