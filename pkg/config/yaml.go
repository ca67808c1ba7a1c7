package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/cpctl/cpctl/pkg/store"
)

// document is a File as it is written.
type document struct {
	FormatVersion string    `yaml:"format_version"`
	Current       string    `yaml:"current_context,omitempty"`
	Contexts      []Context `yaml:"contexts"`
}

// encode writes a file. What would not be read back as it is is not written: the
// encoder leaves some words unquoted that it then reads as numbers.
func encode(f *File) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	b, err := yaml.MarshalWithOptions(document{FormatVersion, f.Current, f.Contexts}, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, err
	}
	back, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("what would be written cannot be read: %w", err)
	}
	if !reflect.DeepEqual(back, canonical(f)) {
		return nil, errors.New("what would be written is not what would be read")
	}
	return b, nil
}

// canonical has the one form of "none".
func canonical(f *File) *File {
	c := &File{Current: f.Current}
	for _, x := range f.Contexts {
		if len(x.Servers) == 0 {
			x.Servers = nil
		}
		c.Contexts = append(c.Contexts, x)
	}
	return c
}

// decode reads a file; nothing at all is one without contexts. Members that it
// does not know are refused: they were misspelled, or mean something that would
// be lost when the file is written. An error holds no line of the file, which
// may be one of a key.
func decode(b []byte) (*File, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return &File{}, nil
	}
	var v struct {
		FormatVersion string `yaml:"format_version"`
	}
	if err := yaml.Unmarshal(b, &v); err != nil {
		return nil, located(err)
	}
	major, _, _ := strings.Cut(v.FormatVersion, ".")
	switch ours, _, _ := strings.Cut(FormatVersion, "."); {
	case v.FormatVersion == "":
		return nil, store.Errorf(store.CodeInvalid, "it has no format_version").WithHint("write at its top: format_version: %q", FormatVersion)
	case major != ours:
		return nil, store.Errorf(store.CodeNewer, "it has format version %.16q; this build reads %s", v.FormatVersion, FormatVersion).
			WithHint("use the build of cpctl that wrote it, or another file: --config FILE")
	}
	var d document
	if err := yaml.UnmarshalWithOptions(b, &d, yaml.Strict()); err != nil {
		return nil, located(err)
	}
	f := canonical(&File{d.Current, d.Contexts})
	return f, f.check()
}

// located says where YAML was not understood, and why, without the text there.
func located(err error) error {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil || at.GetToken().Position == nil {
		return store.Errorf(store.CodeInvalid, "it is no YAML")
	}
	p := at.GetToken().Position
	return store.Errorf(store.CodeInvalid, "line %d, column %d: %s", p.Line, p.Column, at.GetMessage())
}
