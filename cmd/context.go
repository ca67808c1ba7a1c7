package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/store"
)

func newContext(env *Env) *cobra.Command {
	return group(&cobra.Command{Use: "context", Aliases: []string{"contexts"}, Short: "The clusters that this user is logged in to",
		Long: "A context is a cluster as one person reaches it: its servers, who that person is there\n" +
			"(certificate, key and the cluster's authority), and perhaps a tenant. \"cpctl login\" makes\n" +
			"one. They are kept in $XDG_CONFIG_HOME/cpctl/config.yaml (~/.config/cpctl/config.yaml),\n" +
			"which must be readable by its owner alone. Commands use the current one, unless --context\n" +
			"names another, or --server, --ca, --cert and --key say where to and as whom."},
		newContextList(env), newContextUse(env), newContextShow(env), newContextDelete(env))
}

// contextName is how a context is printed and accepted.
func contextName(name string) string { return "context/" + name }

// findContext finds the context that an argument names, or says which is meant.
func findContext(f *config.File, arg string) (*config.Context, error) {
	name := strings.TrimPrefix(arg, "context/")
	if c := f.Find(name); c != nil {
		return c, nil
	}
	err := store.Errorf(store.CodeNotFound, "context %q not found", name)
	if near := store.Suggest(name, f.Names()); near != "" {
		return nil, err.WithHint("did you mean %q? see: cpctl context list", near)
	}
	return nil, err.WithHint("see: cpctl context list")
}

// updateContexts changes the file of contexts while nobody else does.
func (e *Env) updateContexts(ctx context.Context, change func(*config.File) error) error {
	path := e.configPath()
	if path == "" {
		return usagef("where are contexts kept?").WithHint("set HOME, or pass --config FILE")
	}
	ctx, cancel := e.deadline(ctx)
	defer cancel()
	return config.Update(ctx, path, change)
}

// contextItem is a context in a list.
type contextItem struct {
	Name    string   `json:"name"`
	Current bool     `json:"current"`
	Servers []string `json:"servers"`
	Tenant  string   `json:"tenant"`
	Holder  *holder  `json:"identity,omitempty"`
}

func itemOf(f *config.File, c *config.Context) contextItem {
	item := contextItem{Name: c.Name, Current: c.Name == f.Current, Servers: c.Servers, Tenant: c.Tenant, Holder: contextHolder(c)}
	if item.Servers == nil {
		item.Servers = []string{} // [], never null
	}
	return item
}

func newContextList(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the contexts; * is the current one",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error { return env.listContexts() },
	}
}

func (e *Env) listContexts() error {
	f, err := e.contexts()
	if err != nil {
		return err
	}
	l := contextListing{FormatVersion: store.FormatVersion, Kind: "context_list", Items: []contextItem{}}
	t := table{titles: []string{"", "NAME", "SERVERS", "WHO", "TENANT", "CERTIFICATE"}}
	for _, name := range f.Names() {
		item := itemOf(f, f.Find(name))
		l.Items = append(l.Items, item)
		row := []string{" ", name, strings.Join(item.Servers, ","), "", item.Tenant, ""}
		if item.Current {
			row[0] = "*"
		}
		if h := item.Holder; h != nil {
			row[3], row[5] = h.id.String(), e.until(h)
		}
		t.rows = append(t.rows, row)
	}
	switch {
	case e.flags.output == formatJSON, e.flags.output == formatYAML:
		return e.document(l)
	case len(l.Items) == 0:
		e.note("no contexts")
		return nil
	case e.flags.output == formatName:
		for _, item := range l.Items {
			if err := e.line(contextName(item.Name)); err != nil {
				return err
			}
		}
		return nil
	}
	return e.table(t)
}

// contextListing is the JSON of a list of contexts, which no log index is of.
type contextListing struct {
	FormatVersion string        `json:"format_version"`
	Kind          string        `json:"kind"` // context_list
	Items         []contextItem `json:"items"`
}

func newContextUse(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one",
		Args: named("NAME"), ValidArgsFunction: completeContexts(env, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return env.useContext(cmd.Context(), args[0]) },
	}
}

func (e *Env) useContext(ctx context.Context, arg string) error {
	var item contextItem
	err := e.updateContexts(ctx, func(f *config.File) error {
		c, err := findContext(f, arg)
		if err != nil {
			return err
		}
		f.Current = c.Name
		item = itemOf(f, c)
		return nil
	})
	if err != nil {
		return err
	}
	if named := e.given("context"); named.Value != "" && named.Value != item.Name && named.Source == fromEnvironment {
		e.note("CPCTL_CONTEXT goes before the current context, and names %q", named.Value)
	}
	return e.show(contextDocument(item), contextName(item.Name), func() error {
		return e.line(contextName(item.Name) + " is current")
	})
}

// contextDocument is the JSON of one context.
func contextDocument(item contextItem, more ...member) json.RawMessage {
	raw, _ := encode(item) // strings, times and a bool: cannot fail
	all, _ := members(raw)
	doc := append([]rawMember{{"format_version", quoted(store.FormatVersion)}, {"kind", quoted("context")}}, all...)
	out, _ := with(object(doc), more...)
	return out
}

func newContextDelete(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete a context with its key",
		Long: "Delete a context with its certificate and key from the file. The certificate is good\n" +
			"until it expires, wherever a copy may be; \"cpctl cert revoke SERIAL\" takes it back.",
		Args: several("NAME"), ValidArgsFunction: completeContexts(env, 0),
	}
	var yes, ignore bool
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&ignore, "ignore-not-found", false, "what does not exist is no error")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return each(cmd.Context(), env, names, func(name string) error { return env.deleteContext(cmd.Context(), name, yes, ignore) })
	}
	return cmd
}

func (e *Env) deleteContext(ctx context.Context, arg string, yes, ignore bool) error {
	name := strings.TrimPrefix(arg, "context/")
	if f, err := e.contexts(); err != nil {
		return err
	} else if _, err := findContext(f, name); err != nil && ignore {
		return e.contextDeleted(name, false)
	} else if err != nil {
		return err
	}
	if err := e.confirm(ctx, yes, "delete context "+string(quoted(name)), "its key cannot be brought back", ""); err != nil {
		return err
	}
	var was contextItem
	err := e.updateContexts(ctx, func(f *config.File) error {
		c, err := findContext(f, name)
		if err != nil {
			return err
		}
		was = itemOf(f, c)
		f.Delete(name)
		return nil
	})
	if ignore && errors.Is(err, store.ErrNotFound) { // somebody was faster
		return e.contextDeleted(name, false)
	}
	if err != nil {
		return err
	}
	err = e.contextDeleted(name, true)
	if was.Current {
		e.note("it was the current context, and there is none now; choose one: cpctl context use NAME")
	}
	e.stillGood(was.Holder)
	return err
}

// stillGood notes that a certificate which is no longer kept is good, wherever a
// copy of it may be.
func (e *Env) stillGood(h *holder) {
	if h != nil && h.NotAfter.After(e.now()) {
		e.note("the certificate that was in it is good until %s; to take it back: cpctl cert revoke %s", stampOf(h.NotAfter), h.Serial)
	}
}

func (e *Env) contextDeleted(name string, was bool) error {
	d := deletion{FormatVersion: store.FormatVersion, Kind: "deletion", Deleted: []string{}}
	line := contextName(name) + " unchanged"
	if was {
		d.Deleted, line = []string{contextName(name)}, contextName(name)+" deleted"
	}
	return e.show(d, contextName(name), func() error { return e.line(line) })
}

// completeContexts completes the names of contexts; it asks no server.
func completeContexts(env *Env, most int) completing {
	return func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const done = cobra.ShellCompDirectiveNoFileComp
		if most > 0 && len(args) >= most || env.settle(cmd) != nil {
			return nil, done
		}
		f, err := env.contexts()
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
			return nil, done
		}
		return slices.DeleteFunc(f.Names(), func(name string) bool {
			return !strings.HasPrefix(name, to) || slices.Contains(args, name)
		}), done
	}
}
