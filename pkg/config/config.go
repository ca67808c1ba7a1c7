// Package config is the file in which an operator keeps contexts: named
// clusters with their addresses, the credentials for them, and a tenant. The
// file holds private keys, so that it is the owner's alone; certificate and key
// stand in it together and are written at once, so that no crash tears them
// apart. It connects to nothing and knows nothing of what is in a certificate;
// package cmd uses it.
package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// FormatVersion stands in every file that is written.
const FormatVersion = "1.0"

// File is all contexts. The zero value is one of none.
type File struct {
	Current  string // the context in use; "" is none
	Contexts []Context
}

// Context is one cluster as one person reaches it.
type Context struct {
	Name        string     `yaml:"name"`
	Servers     []string   `yaml:"servers,omitempty"` // HOST:PORT or unix:PATH; none: the local node
	Tenant      string     `yaml:"tenant,omitempty"`
	CA          string     `yaml:"ca,omitempty"`          // PEM: one or more authorities
	Certificate string     `yaml:"certificate,omitempty"` // PEM
	Key         PrivateKey `yaml:"key,omitempty"`         // PEM, of the certificate
}

// PrivateKey is text that no print shows; a conversion to string does.
type PrivateKey string

// Format keeps the key out of every print, whatever the verb.
func (k PrivateKey) Format(f fmt.State, _ rune) {
	if k != "" {
		fmt.Fprint(f, "[private key]")
	}
}

// maxContexts bounds a file: each context is a few kilobytes, and the file is
// read by every command.
const maxContexts = 100

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

const nameHint = "1 to 64 letters, digits, dots, dashes and underscores, the first a letter or a digit"

// CheckName says what keeps a context from bearing a name.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return store.Errorf(store.CodeInvalid, "%q is no name of a context", name).
			WithHint("%s", nameHint)
	}
	return nil
}

// Find returns the context of a name, nil if there is none.
func (f *File) Find(name string) *Context {
	i := slices.IndexFunc(f.Contexts, func(c Context) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Contexts[i]
}

// Names are those of all contexts, sorted.
func (f *File) Names() []string {
	names := make([]string, len(f.Contexts))
	for i, c := range f.Contexts {
		names[i] = c.Name
	}
	slices.Sort(names)
	return names
}

// Put adds a context, or replaces the one of its name.
func (f *File) Put(c Context) {
	if have := f.Find(c.Name); have != nil {
		*have = c
		return
	}
	f.Contexts = append(f.Contexts, c)
	slices.SortFunc(f.Contexts, func(a, b Context) int { return strings.Compare(a.Name, b.Name) })
}

// Delete takes a context out. It reports whether there was one; if it was the
// current one, there is none afterwards.
func (f *File) Delete(name string) bool {
	before := len(f.Contexts)
	f.Contexts = slices.DeleteFunc(f.Contexts, func(c Context) bool { return c.Name == name })
	if f.Current == name {
		f.Current = ""
	}
	return len(f.Contexts) < before
}

// check says what is wrong with a file as a whole.
func (f *File) check() error {
	if len(f.Contexts) > maxContexts {
		return store.Errorf(store.CodeInvalid, "%d contexts; at most %d are kept", len(f.Contexts), maxContexts).
			WithHint("take some out: cpctl context delete NAME")
	}
	seen := map[string]bool{}
	for i, c := range f.Contexts {
		if !nameForm.MatchString(c.Name) { // not shown: it may be anything, a key too
			return store.Errorf(store.CodeInvalid, "the name of context %d is none", i+1).WithHint("%s", nameHint)
		}
		if seen[c.Name] {
			return store.Errorf(store.CodeInvalid, "there are two contexts %q", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}
