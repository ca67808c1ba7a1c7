package story_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"
)

// jsonValue is
//
//	json PATH WANT [FILE]
//	! json PATH
//
// The value at PATH (nodes[0].name; items.len is how many) in the JSON on stdout,
// or in FILE, is WANT, or matches it when WANT is ~REGEXP. With ! there is no
// such member.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg && len(args) != 1 || !neg && len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: json PATH WANT [FILE], or ! json PATH")
	}
	file, want := "stdout", ""
	if len(args) == 3 {
		file = args[2]
	}
	if len(args) > 1 {
		want = args[1]
	}
	got, err := at(ts.ReadFile(file), args[0])
	pattern, isPattern := strings.CutPrefix(want, "~")
	switch {
	case neg && err == nil:
		ts.Fatalf("%s is %s, want none", args[0], got)
	case neg:
	case err != nil:
		ts.Fatalf("%v", err)
	case isPattern && !regexp.MustCompile(pattern).MatchString(got), !isPattern && got != want:
		ts.Fatalf("%s is %s, want %s", args[0], got, want)
	}
}

// capture is
//
//	capture VAR [PATH [FILE]]
//
// It sets a variable to the value at PATH in stdout or FILE, or to all of it.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 3 {
		ts.Fatalf("usage: capture VAR [PATH [FILE]]")
	}
	file := "stdout"
	if len(args) == 3 {
		file = args[2]
	}
	if len(args) == 1 || args[1] == "" {
		ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(file)))
		return
	}
	value, err := at(ts.ReadFile(file), args[1])
	ts.Check(err)
	ts.Setenv(args[0], value)
}

// at finds a value: a string as it is, everything else as compact JSON.
func at(doc, path string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("this is no JSON: %v", err)
	}
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		object, isObject := v.(map[string]any)
		list, isList := v.([]any)
		n, err := strconv.Atoi(step)
		switch {
		case isList && step == "len":
			v = json.Number(strconv.Itoa(len(list)))
		case isList && err == nil && n < len(list):
			v = list[n]
		case isObject && object[step] != nil:
			v = object[step]
		default:
			if value, there := object[step]; !there || value != nil {
				return "", fmt.Errorf("there is no %q of %q", step, path)
			}
			v = nil
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// match is
//
//	match [-secrets] FILE FILE
//
// Two documents, JSON or YAML, say the same. With -secrets the hashes of client
// secrets and the sealed private keys of the first, a file of a node, do not count.
func match(ts *testscript.TestScript, neg bool, args []string) {
	without := len(args) == 3 && args[0] == "-secrets"
	if without {
		args = args[1:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: match [-secrets] FILE FILE")
	}
	var docs [2]any
	for i, file := range args {
		ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(file)), &docs[i]))
	}
	if without && strip(docs[0]) == 0 {
		ts.Fatalf("%s has nothing secret", args[0])
	}
	if !reflect.DeepEqual(docs[0], docs[1]) {
		a, _ := yaml.Marshal(docs[0])
		b, _ := yaml.Marshal(docs[1])
		ts.Fatalf("%s and %s differ:\n%s\n%s", args[0], args[1], a, b)
	}
}

// strip removes what is not shown of stored documents, and counts it.
func strip(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"hash", "private_key"} {
			if _, ok := v[name]; ok {
				delete(v, name)
				n++
			}
		}
		for _, in := range v {
			n += strip(in)
		}
	case []any:
		for _, in := range v {
			n += strip(in)
		}
	}
	return n
}

// What differs from run to run, in the order in which it is looked for.
var unstable = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\bcps_[A-Za-z0-9_-]{43}`), "SECRET"},
	{regexp.MustCompile(`\.\.\.[A-Za-z0-9_-]{4}\b`), "HINT"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`unix/\d+`), "unix/UID"},
	{regexp.MustCompile(`("(?:index|term|commit_index|applied_index|published_index|last_contact_ms|size)": )\d+`), "${1}N"},
	{regexp.MustCompile(` *\b(\d+(ms|s|m)( ago)?|AGE)\n`), " AGE\n"}, // its column is as wide as the longest
	{regexp.MustCompile(`(?m)(^|[ "/])[A-Za-z0-9_-]{43}($|[ "])`), "${1}KID$2"},
}

// scrub is
//
//	scrub FILE
//
// It writes FILE to stdout with words in place of ids, times, ages and
// everything else that differs from run to run.
func scrub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: scrub FILE")
	}
	text := []byte(ts.ReadFile(args[0]))
	for _, u := range unstable {
		text = u.pattern.ReplaceAll(text, []byte(u.name))
	}
	_, err := ts.Stdout().Write(bytes.Clone(text))
	ts.Check(err)
}
