package layers_test

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// never are methods that the product must not call, each with the reason.
var never = map[string]string{
	"(*github.com/hashicorp/raft.Raft).Restore": "it changes the leader before the others; a restore goes through the log",
	"(*github.com/hashicorp/raft.Raft).Barrier": "its entry never reaches the state machine, so waiting readers would wait for ever; the epoch entry is the barrier",
}

// printers write to the streams of the process, which are cmd's.
var printers = []string{"fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr"}

// misuses lists calls that nobody may make, and printing outside of cmd.
func misuses(s *source) (out []string) {
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			o := s.info.Uses[id]
			if fn, ok := o.(*types.Func); ok && never[fn.FullName()] != "" {
				out = append(out, fmt.Sprintf("%s: calls %s: %s", s.at(id), fn.Name(), never[fn.FullName()]))
			}
			if o != nil && o.Pkg() != nil && s.path != "cmd" && slices.Contains(printers, o.Pkg().Path()+"."+o.Name()) {
				out = append(out, fmt.Sprintf("%s: uses %s.%s; only cmd prints", s.at(id), o.Pkg().Name(), o.Name()))
			}
			return true
		})
	}
	return out
}

func TestNobodyCallsWhatBreaksAPromise(t *testing.T) {
	for _, p := range product(t) {
		for _, fault := range misuses(sourceOf(t, p)) {
			t.Error(fault)
		}
	}
}

func TestACallThatBreaksAPromiseIsFound(t *testing.T) {
	for _, c := range []struct{ fact, code, want string }{
		{"raft's own restore", `import "github.com/hashicorp/raft"; func f(r *raft.Raft) { r.Restore(nil, nil, 0) }`, "calls Restore: it changes the leader"},
		{"the method as a value", `import "github.com/hashicorp/raft"; func f(r *raft.Raft) any { return r.Restore }`, "calls Restore"},
		{"raft's barrier", `import "github.com/hashicorp/raft"; func f(r *raft.Raft) { r.Barrier(0) }`, "calls Barrier"},
		{"printing below cmd", `import "fmt"; func f() { fmt.Println() }`, "uses fmt.Println; only cmd prints"},
		{"the stream itself", `import "os"; var w = os.Stderr`, "uses os.Stderr; only cmd prints"},
		{"a restore of another kind", `type r struct{}; func (r) Restore() {}; func f() { r{}.Restore() }`, ""},
		{"printing into a string", `import "fmt"; var s = fmt.Sprint()`, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			s, err := check("pkg/example", []string{"example.go"}, func(string) any { return "package example; " + c.code })
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(misuses(s), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
