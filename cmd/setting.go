package cmd

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/cpctl/cpctl/pkg/config"
)

// The places that a value comes from, the first before the next.
const (
	fromFlag        = "flag"
	fromEnvironment = "environment"
	fromContext     = "context"
	fromDefault     = "default"
)

// setting is a value and where it comes from.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`         // flag, environment, context, default
	From   string `json:"from,omitempty"` // --server, CPCTL_SERVER, the name of the context
}

// given is the setting of a global flag as the command line or the environment
// has it; its source is fromDefault if neither does.
func (e *Env) given(flag string) setting {
	s := setting{Name: flag, Source: fromDefault}
	if e.flags.set == nil {
		return s // the command line was not understood
	}
	if f := e.flags.set.Lookup(flag); f != nil {
		s.Value = f.Value.String()
		switch {
		case f.Changed:
			s.Source, s.From = fromFlag, "--"+flag
		case e.flags.filled[flag]:
			s.Source, s.From = fromEnvironment, variable(flag)
		}
	}
	return s
}

// serverSetting is where the commands go: the servers that are given, else those
// of the context, else the local node. Whoever names the directory of a local
// node means that one, and not the current context.
func (e *Env) serverSetting() (setting, error) {
	s := e.given("server")
	if s.Value != "" {
		return s, nil
	}
	c, err := e.chosen()
	if err != nil {
		return s, err
	}
	if c != nil && len(c.Servers) > 0 {
		return setting{"server", strings.Join(c.Servers, ","), fromContext, c.Name}, nil
	}
	s = e.given("data-dir") // the origin of its socket
	return setting{"server", "unix:" + filepath.Join(e.dataDir(), "cpctl.sock"), s.Source, s.From}, nil
}

// tenantSetting is the tenant that is given, else that of the context.
func (e *Env) tenantSetting() (setting, error) {
	s := e.given("tenant")
	if s.Value != "" {
		return s, nil
	}
	c, err := e.chosen()
	if err == nil && c != nil && c.Tenant != "" {
		s = setting{"tenant", c.Tenant, fromContext, c.Name}
	}
	return s, err
}

// configPath is the file of contexts; "" if nothing says where it is.
func (e *Env) configPath() string {
	switch {
	case e.flags.config != "":
		return e.flags.config
	case filepath.IsAbs(e.getenv("XDG_CONFIG_HOME")): // the XDG rule: relative ones are ignored
		return filepath.Join(e.getenv("XDG_CONFIG_HOME"), "cpctl", "config.yaml")
	case e.getenv("HOME") != "":
		return filepath.Join(e.getenv("HOME"), ".config", "cpctl", "config.yaml")
	}
	return ""
}

// contexts is the file of contexts, empty if there is none. One that was named
// by a flag has to be there.
func (e *Env) contexts() (*config.File, error) {
	f, err := e.contextsSoFar()
	if f == nil && err == nil {
		if e.given("config").Source == fromFlag {
			return nil, usagef("%s: no such file or directory", e.flags.config).WithHint("cpctl login makes it")
		}
		f = new(config.File)
	}
	return f, err
}

// contextsSoFar is the file of contexts, nil if there is none.
func (e *Env) contextsSoFar() (*config.File, error) {
	path := e.configPath()
	if path == "" {
		return nil, nil
	}
	f, err := config.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// chosen is the context in force, nil if there is none. It is read when it is
// first needed, so that what needs no server needs no file either.
func (e *Env) chosen() (*config.Context, error) {
	if !e.context.read {
		e.context.read = true
		e.context.is, e.context.err = e.choose()
	}
	return e.context.is, e.context.err
}

func (e *Env) choose() (*config.Context, error) {
	name := e.flags.context
	if name == "" && e.given("data-dir").Source == fromFlag {
		return nil, nil
	}
	f, err := e.contexts()
	if err != nil {
		return nil, err
	}
	if name != "" {
		return findContext(f, name)
	}
	if f.Current == "" {
		return nil, nil
	}
	if c := f.Find(f.Current); c != nil {
		return c, nil
	}
	return nil, usagef("%s: the current context %q is not in it", e.configPath(), f.Current).
		WithHint("choose one: cpctl context use NAME")
}
