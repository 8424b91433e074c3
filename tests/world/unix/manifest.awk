# Reads an SMF manifest and writes what the restarter needs of it, as lines `SERVICE:INSTANCE<tab>KEY VALUE`. What is not well-formed, or
# is no element, attribute or shape that it was taught, ends it with 1 and a word on stderr: a manifest that passes is one it understood.
{ text = text $0 "\n" }

function refuse(words) {
    printf "%s:%d: %s\n", file, line, words | "cat 1>&2"
    close("cat 1>&2")
    refused = 1
    exit 1
}

function plain(s) {
    if (s ~ /</) refuse("a < in a value")
    if (match(s, /&[^;]*$/) && s !~ /&[^;]*;/) refuse("an & without its end")
    rest = s
    while (match(rest, /&[^;]*;?/)) {
        if (substr(rest, RSTART, RLENGTH) !~ /^&(lt|gt|amp|quot|apos);$/) refuse("no entity: " substr(rest, RSTART, RLENGTH))
        rest = substr(rest, RSTART + RLENGTH)
    }
    gsub(/&lt;/, "<", s); gsub(/&gt;/, ">", s); gsub(/&quot;/, "\"", s); gsub(/&apos;/, "'", s); gsub(/&amp;/, "\\&", s)
    if (s ~ /[\n\t]/) gsub(/[\n\t]/, " ", s)
    return s
}

function needs(names,   i, list) {
    split(names, list, " ")
    for (i in list) if (!(list[i] in attribute)) refuse(name " without " list[i])
}

function may(names,   key) {
    for (key in attribute) if (index(" " names " ", " " key " ") == 0) refuse(name " has no attribute " key)
}

function keep(scope, key, val) { order[++kept] = scope SUBSEP key; values[kept] = val }

function inside(parents) {
    if (index(" " parents " ", " " parent " ") == 0) refuse(name " in " (parent == "" ? "the document" : parent))
}

# The scope that an element's facts belong to: an instance, or the whole service.
function opened(   where) {
    where = instance == "" ? "*" : instance
    if (name == "service_bundle") {
        inside(""); needs("type name")
        if (attribute["type"] != "manifest") refuse("a bundle of type " attribute["type"])
    }
    else if (name == "service") {
        inside("service_bundle"); needs("name type version"); may("name type version")
        if (attribute["type"] != "service") refuse("a service of type " attribute["type"])
        if (attribute["name"] !~ /^[A-Za-z][A-Za-z0-9_.,-]*(\/[A-Za-z][A-Za-z0-9_.,-]*)*$/) refuse("no name: " attribute["name"])
        if (service != "") refuse("a second service")
        service = attribute["name"]
    } else if (name == "create_default_instance") {
        inside("service"); needs("enabled"); boolean("enabled"); instances["default"] = attribute["enabled"]
    } else if (name == "single_instance") inside("service")
    else if (name == "instance") {
        inside("service"); needs("name enabled"); boolean("enabled")
        if (attribute["name"] !~ /^[A-Za-z][A-Za-z0-9_.,-]*$/) refuse("no name of an instance: " attribute["name"])
        instance = attribute["name"]; instances[instance] = attribute["enabled"]
    } else if (name == "dependency") {
        inside("service instance"); needs("name grouping restart_on type"); may("name grouping restart_on type delete")
        if (attribute["grouping"] !~ /^(require_all|require_any|exclude_all|optional_all)$/) refuse("grouping " attribute["grouping"])
        if (attribute["restart_on"] !~ /^(none|error|restart|refresh)$/) refuse("restart_on " attribute["restart_on"])
        grouping = attribute["grouping"]
        if (grouping !~ /all$/ || grouping == "exclude_all") refuse("the grouping " grouping " is not known to this test host")
    } else if (name == "dependent") { inside("service instance"); needs("name grouping restart_on"); grouping = "" }
    else if (name == "service_fmri") {
        inside("dependency dependent"); needs("value")
        if (parent == "dependency" && grouping == "require_all" && attribute["value"] ~ /^svc:/) keep(where, "requires", attribute["value"])
    } else if (name == "exec_method") {
        inside("service instance"); needs("type name exec timeout_seconds"); may("type name exec timeout_seconds delete")
        if (attribute["type"] != "method") refuse("exec_method of type " attribute["type"])
        if (attribute["name"] !~ /^(start|stop|refresh)$/) refuse("a method " attribute["name"])
        if (attribute["timeout_seconds"] !~ /^(-1|[0-9]+)$/) refuse("timeout_seconds " attribute["timeout_seconds"])
        method = attribute["name"]
        keep(where, method ".exec", attribute["exec"]); keep(where, method ".timeout", attribute["timeout_seconds"])
        has[where, method] = 1
    } else if (name == "method_context") {
        inside("service instance exec_method"); may("working_directory project resource_pool")
        if ("working_directory" in attribute && attribute["working_directory"] != ":default")
            contextual("directory", attribute["working_directory"])
    } else if (name == "method_credential") {
        inside("method_context"); needs("user"); may("user group supp_groups privileges limit_privileges")
        contextual("user", attribute["user"])
        if ("group" in attribute && attribute["group"] != ":default") contextual("group", attribute["group"])
    } else if (name == "method_environment") inside("method_context")
    else if (name == "envvar") {
        inside("method_environment"); needs("name value"); may("name value")
        contextual("environment", attribute["name"] "=" attribute["value"])
    } else if (name == "property_group") {
        inside("service instance"); needs("name type"); group = attribute["name"]
        if (group == "startd" && attribute["type"] != "framework") refuse("startd of type " attribute["type"])
    } else if (name == "propval") {
        inside("property_group"); needs("name type value"); may("name type value override")
        if (group == "startd" && attribute["name"] == "duration") {
            if (attribute["value"] !~ /^(child|wait|contract|daemon|transient)$/) refuse("duration " attribute["value"])
            sub(/wait/, "child", attribute["value"]); sub(/daemon/, "contract", attribute["value"])
            keep(where, "duration", attribute["value"])
        }
    } else if (name == "stability") {
        inside("service instance property_group"); needs("value")
        if (attribute["value"] !~ /^(Standard|Stable|Evolving|Unstable|External|Obsolete)$/) refuse("stability " attribute["value"])
    } else if (name == "template") inside("service instance")
    else if (name ~ /^(common_name|description|documentation)$/) inside("template")
    else if (name == "loctext") { inside("common_name description"); needs("xml:lang") }
    else if (name ~ /^(manpage|doc_link)$/) inside("documentation")
    else refuse("an element this test host does not know: " name)
}

function boolean(key) { if (attribute[key] !~ /^(true|false)$/) refuse(key " is true or false") }

# Of one method, or of all.
function contextual(key, val,   i, list) {
    if (method != "") { keep(instance == "" ? "*" : instance, method "." key, val); return }
    split("start stop refresh", list, " ")
    for (i in list) keep(instance == "" ? "*" : instance, list[i] "." key, val)
}

END {
    if (refused) exit 1
    line = 1
    while (length(text)) {
        at = index(text, "<")
        between = at ? substr(text, 1, at - 1) : text
        if (depth == 0 && between ~ /[^ \t\n]/) refuse("text outside of the document's element")
        if (depth > 0 && between ~ /[^ \t\n]/ && stack[depth] != "loctext") refuse("text in " stack[depth])
        if (between ~ /&/) plain(between)
        line += gsub(/\n/, "\n", between)
        if (!at) break
        text = substr(text, at)
        if (substr(text, 1, 4) == "<!--") {
            at = index(text, "-->"); if (!at) refuse("a comment without its end")
            piece = substr(text, 1, at + 2)
            if (index(substr(piece, 5, length(piece) - 7), "--")) refuse("-- in a comment")
        } else if (substr(text, 1, 2) == "<?") {
            at = index(text, "?>"); if (!at) refuse("an instruction without its end")
            piece = substr(text, 1, at + 1)
        } else if (substr(text, 1, 2) == "<!") {
            at = index(text, ">"); if (!at) refuse("a declaration without its end")
            piece = substr(text, 1, at)
            if (piece !~ /^<!DOCTYPE[ \n]+service_bundle[ \n]+SYSTEM[ \n]+["']\/usr\/share\/lib\/xml\/dtd\/service_bundle\.dtd\.1["'] *>$/)
                refuse("another DOCTYPE")
            typed = 1
        } else if (substr(text, 1, 2) == "</") {
            at = index(text, ">"); if (!at) refuse("a tag without its end")
            piece = substr(text, 1, at)
            name = substr(piece, 3, at - 3); sub(/[ \t\n]+$/, "", name)
            if (depth == 0 || stack[depth] != name) refuse("</" name "> closes nothing that is open")
            closed()
        } else {
            if (!match(text, /^<[A-Za-z_][A-Za-z0-9_.:-]*([ \t\n]+[A-Za-z_][A-Za-z0-9_.:-]*[ \t\n]*=[ \t\n]*("[^"<]*"|'[^'<]*'))*[ \t\n]*\/?>/))
                refuse("not well-formed: " substr(text, 1, 40))
            piece = substr(text, 1, RLENGTH)
            tag()
        }
        line += gsub(/\n/, "\n", piece)
        text = substr(text, length(piece) + 1)
    }
    if (depth) refuse(stack[depth] " is not closed")
    if (service == "") refuse("no service")
    if (!typed) refuse("no DOCTYPE")
    written = 0
    for (one in instances) {
        written++
        for (i = 1; i <= kept; i++) {
            split(order[i], key, SUBSEP)
            if (key[1] == "*" || key[1] == one) print service ":" one "\t" key[2] " " values[i]
        }
        if (!(("*", "start") in has) && !((one, "start") in has)) refuse("no start method")
        if (!(("*", "stop") in has) && !((one, "stop") in has)) refuse("no stop method")
        print service ":" one "\tenabled " instances[one]
    }
    if (!written) refuse("no instance")
}

function closed() {
    if (name == "instance") instance = ""
    if (name == "exec_method") method = ""
    if (name == "property_group") group = ""
    depth--
}

function tag(   key, val, body) {
    delete_all()
    body = piece
    match(body, /^<[A-Za-z_][A-Za-z0-9_.:-]*/)
    name = substr(body, 2, RLENGTH - 1)
    body = substr(body, RLENGTH + 1)
    while (match(body, /^[ \t\n]+[A-Za-z_][A-Za-z0-9_.:-]*[ \t\n]*=[ \t\n]*("[^"]*"|'[^']*')/)) {
        val = substr(body, 1, RLENGTH)
        body = substr(body, RLENGTH + 1)
        key = val; sub(/[ \t\n]*=.*/, "", key); sub(/^[ \t\n]+/, "", key)
        val = substr(val, index(val, "=") + 1); sub(/^[ \t\n]+/, "", val)
        if (key in attribute) refuse(key " twice")
        attribute[key] = plain(substr(val, 2, length(val) - 2))
    }
    parent = depth ? stack[depth] : ""
    if (!depth && ended) refuse("a second document element")
    stack[++depth] = name
    opened()
    if (piece ~ /\/>$/) closed()
    if (!depth) ended = 1
}

function delete_all(   key) { for (key in attribute) delete attribute[key] }
