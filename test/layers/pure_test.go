package layers_test

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// pure are the packages in which the same log gives the same state on every
// node: no clock, no randomness, no environment, no I/O, no order of a map.
var pure = []string{"pkg/store", "pkg/mutation", "pkg/applier", "pkg/fsm"}

// impure may not be imported by them, nor anything below it.
var impure = []string{
	"os", "net/http", "net/rpc", "syscall", "golang.org/x/sys", "io/ioutil", "path/filepath", "log", "log/slog",
	"crypto/rand", "math/rand", "math/rand/v2", "runtime", "plugin", "testing",
}

// outside are the functions and variables of other packages that let the world
// in: the clock, the time zone of the machine, random ids.
var outside = map[string][]string{
	"time":                   {"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep", "Local"},
	"github.com/google/uuid": {"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7", "NewRandomFromReader", "NewV7FromReader", "Must", "SetRand"},
	"fmt":                    {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"net":                    nil, // all of it; net/netip and net/url only parse
}

// unordered yield the elements of a map as they come.
var unordered = map[string]bool{"maps.All": true, "maps.Keys": true, "maps.Values": true}

// function is the qualified name of a called function of another package, "" if
// it is none.
func (s *source) function(call *ast.CallExpr) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	fn, ok := s.info.Uses[sel.Sel].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Signature().Recv() != nil {
		return ""
	}
	return fn.Pkg().Name() + "." + fn.Name()
}

// impurities lists what lets the world into a package.
func impurities(s *source) (out []string) {
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				path := strings.Trim(n.Path.Value, `"`)
				_, known := outside[path]
				whole := known && outside[path] == nil
				if whole || slices.ContainsFunc(impure, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
					out = append(out, fmt.Sprintf("%s: imports %s", s.at(n), path))
				}
			case *ast.Ident:
				o := s.info.Uses[n]
				if o == nil || o.Pkg() == nil {
					break
				}
				if name := o.Name(); o.Parent() == o.Pkg().Scope() && slices.Contains(outside[o.Pkg().Path()], name) {
					out = append(out, fmt.Sprintf("%s: uses %s.%s", s.at(n), o.Pkg().Name(), name))
				} else if fn, ok := o.(*types.Func); ok && o.Pkg().Path() == "time" && name == "Local" && fn.Signature().Recv() != nil {
					out = append(out, fmt.Sprintf("%s: uses the machine's time zone", s.at(n)))
				}
			case *ast.RangeStmt:
				if tv, ok := s.info.Types[n.X]; ok && tv.Type != nil {
					if _, isMap := tv.Type.Underlying().(*types.Map); isMap {
						out = append(out, fmt.Sprintf("%s: ranges over a map", s.at(n)))
					}
				}
			case *ast.CallExpr:
				if called := s.function(n); strings.HasPrefix(called, "slices.Sorted") && len(n.Args) > 0 {
					if in, ok := n.Args[0].(*ast.CallExpr); ok && unordered[s.function(in)] {
						return false // in an order of its own
					}
				} else if unordered[called] {
					out = append(out, fmt.Sprintf("%s: takes %s unsorted", s.at(n), called))
				}
			case *ast.GoStmt:
				out = append(out, fmt.Sprintf("%s: starts a goroutine", s.at(n)))
			}
			return true
		})
	}
	return out
}

func TestDeterministicCodeLetsNothingIn(t *testing.T) {
	checked := 0
	for _, p := range product(t) {
		if !slices.Contains(pure, p.local()) {
			continue
		}
		checked++
		for _, fault := range impurities(sourceOf(t, p)) {
			t.Error(fault)
		}
	}
	if checked != len(pure) {
		t.Errorf("%d packages were checked, want %d", checked, len(pure))
	}
}

func TestWhatLetsTheWorldInIsFound(t *testing.T) {
	for _, c := range []struct{ fact, code, want string }{
		{"the clock", `import "time"; var now = time.Now()`, "uses time.Now"},
		{"the clock under another name", `import clock "time"; var now = clock.Now`, "uses time.Now"},
		{"the clock without a name", `import . "time"; var now = Now()`, "uses time.Now"},
		{"the clock as a difference", `import "time"; func f(t time.Time) any { return time.Since(t) }`, "uses time.Since"},
		{"the time zone", `import "time"; func f(t time.Time) any { return t.Local() }`, "uses the machine's time zone"},
		{"randomness", `import "crypto/rand"; var r = rand.Reader`, "imports crypto/rand"},
		{"randomness for games", `import "math/rand/v2"; var n = rand.Int()`, "imports math/rand/v2"},
		{"random ids", `import "github.com/google/uuid"; var id = uuid.NewString()`, "uses uuid.NewString"},
		{"the environment", `import "os"; var home = os.Getenv("HOME")`, "imports os"},
		{"files", `import "os"; func f() { os.Remove("x") }`, "imports os"},
		{"the network", `import "net"; func f() { net.Dial("tcp", "") }`, "imports net"},
		{"printing", `import "fmt"; func f() { fmt.Println() }`, "uses fmt.Println"},
		{"a goroutine", `func f() { go f() }`, "starts a goroutine"},
		{"the order of a map", `func f(m map[string]int) { for range m { } }`, "ranges over a map"},
		{"the order of a named map", `type set map[string]bool; func f(m set) { for range m { } }`, "ranges over a map"},
		{"the keys of a map as they come", `import "maps"; var keys = maps.Keys(map[string]int{})`, "takes maps.Keys unsorted"},
		{"the keys of a map, sorted", `import ("maps"; "slices"); var keys = slices.Sorted(maps.Keys(map[string]int{}))`, ""},
		{"durations are no clock", `import "time"; var d = 5 * time.Minute`, ""},
		{"reading an id makes none", `import "github.com/google/uuid"; var id, err = uuid.Parse("")`, ""},
		{"addresses are only text", `import "net/netip"; var a, err = netip.ParseAddr("")`, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, err := check("pkg/example", []string{"example.go"}, func(string) any { return "package example; " + c.code })
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(impurities(s), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
