// Package layers_test holds the code to the layers of docs/architecture.md: who
// may import whom, which file alone may know a library, and what deterministic
// code may not touch.
package layers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/cpctl/cpctl"

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Export     string   // file with the types of the compiled package
	GoFiles    []string // without tests
	Imports    []string // of GoFiles
	DepOnly    bool     // not of this module

	IgnoredGoFiles []string // left out by their build constraints

	TestImports, XTestImports []string // of its tests
}

// local is the package's path within the module; "." is main.
func (p *goPackage) local() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// listed is every package of the module and everything they are built from.
var listed = sync.OnceValues(func() ([]*goPackage, error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,IgnoredGoFiles,Imports,TestImports,XTestImports,DepOnly", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	var all []*goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(goPackage)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

// product returns the packages that the binary is made of and the reader; tests
// of their own directories have no files in it, and examples are no part of it.
func product(t *testing.T) []*goPackage {
	t.Helper()
	return own(t, func(p *goPackage) bool { return !strings.HasPrefix(p.local(), "examples/") })
}

// own returns the packages of the module that are no tests, of those that count.
func own(t *testing.T, counts func(*goPackage) bool) []*goPackage {
	t.Helper()
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	var some []*goPackage
	found := 0
	for _, p := range all {
		if p.DepOnly || len(p.GoFiles) == 0 || strings.HasPrefix(p.local(), "test/") {
			continue
		}
		if found++; counts(p) {
			some = append(some, p)
		}
	}
	if found < 10 {
		t.Fatalf("only %d packages of the module were found", found)
	}
	return some
}

// source is one package with its types.
type source struct {
	path  string // local
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// check parses and type-checks files of one package. A nil text is read from
// the file's name.
func check(path string, names []string, text func(name string) any) (*source, error) {
	all, err := listed()
	if err != nil {
		return nil, err
	}
	exports := make(map[string]string, len(all))
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	s := &source{path: path, fset: token.NewFileSet(),
		info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}}
	for _, name := range names {
		f, err := parser.ParseFile(s.fset, name, text(name), parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	conf := types.Config{Importer: importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no types of %s", path)
		}
		return os.Open(exports[path])
	})}
	_, err = conf.Check(path, s.fset, s.files, s.info)
	return s, err
}

// loaded keeps what sourceOf loaded. Tests of this package run one after another.
var loaded = map[string]*source{}

// sourceOf loads a package of the product.
func sourceOf(t *testing.T, p *goPackage) *source {
	t.Helper()
	if s := loaded[p.local()]; s != nil {
		return s
	}
	var names []string
	for _, name := range p.GoFiles {
		names = append(names, filepath.Join(p.Dir, name))
	}
	s, err := check(p.local(), names, func(string) any { return nil })
	if err != nil {
		t.Fatal(err)
	}
	loaded[p.local()] = s
	return s
}

// at is a position for messages: file and line, without the directory.
func (s *source) at(n ast.Node) string {
	p := s.fset.Position(n.Pos())
	return fmt.Sprintf("%s/%s:%d", s.path, filepath.Base(p.Filename), p.Line)
}
