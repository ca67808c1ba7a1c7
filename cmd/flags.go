package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cpctl/cpctl/pkg/store"
)

// globals are the flags that every command has.
type globals struct {
	server    string
	dataDir   string
	tenant    string
	output    string
	noHeaders bool
	timeout   duration // of the whole command; 0: none
	color     string
	quiet     bool
	verbose   bool
	noInput   bool
	context   string
	config    string
	ca        string
	cert      string
	key       string

	set    *pflag.FlagSet  // all of them, once they are parsed
	filled map[string]bool // by the environment

	tenantGiven  bool // by the flag itself, not the environment
	timeoutGiven bool // by the flag or the environment
}

// The formats of --output.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatName  = "name"
)

var (
	formats = []string{formatTable, formatWide, formatJSON, formatYAML, formatName}
	colors  = []string{"auto", "always", "never"}
)

func (g *globals) add(fs *pflag.FlagSet) {
	g.timeout = duration(30 * time.Second)
	fs.StringVarP(&g.server, "server", "s", "", "nodes to ask, `ADDRESS` HOST:PORT or unix:PATH, several with commas (default those of the context, else the local node)")
	fs.StringVar(&g.context, "context", "", "`NAME` of the context to use (default the current one)")
	fs.StringVar(&g.config, "config", "", "`FILE` of contexts (default $XDG_CONFIG_HOME/cpctl/config.yaml, else ~/.config/cpctl/config.yaml)")
	fs.StringVar(&g.ca, "ca", "", "`FILE` with the authority of the cluster, in PEM (default the context's)")
	fs.StringVar(&g.cert, "cert", "", "`FILE` with the certificate to show, in PEM (default the context's)")
	fs.StringVar(&g.key, "key", "", "`FILE` with the key of --cert, in PEM (default the context's)")
	fs.StringVar(&g.dataDir, "data-dir", "", "`DIR` of the local node (default /var/lib/cpctl for root, else ~/.local/state/cpctl)")
	fs.StringVarP(&g.tenant, "tenant", "t", "", "tenant of client, scope and key commands, by its `SLUG` (default that of the context)")
	fs.StringVarP(&g.output, "output", "o", formatTable, "`FORMAT`: "+strings.Join(formats, ", "))
	fs.BoolVar(&g.noHeaders, "no-headers", false, "tables without the header row")
	fs.Var(&g.timeout, "timeout", "`DURATION` of the whole command with all retries; 0 is no limit")
	fs.StringVar(&g.color, "color", "auto", "`WHEN` to colour: "+strings.Join(colors, ", "))
	fs.BoolVarP(&g.quiet, "quiet", "q", false, "no notes on stderr")
	fs.BoolVarP(&g.verbose, "verbose", "v", false, "log what the client does on stderr")
	fs.BoolVar(&g.noInput, "no-input", false, "never prompt")
}

// environment are the global flags that may also come from the environment.
var environment = []string{"server", "data-dir", "tenant", "output", "timeout", "color", "no-input", "context", "config", "ca", "cert", "key"}

// variable is the name under which a flag stands in the environment.
func variable(flag string) string {
	return "CPCTL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fill sets the flags that were not given from the environment: a flag goes
// before its variable, and an empty variable is none.
func (e *Env) fill(fs *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		f := fs.Lookup(name)
		value := e.getenv(variable(name))
		if f == nil || f.Changed || value == "" {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return usagef("%s=%q: %s", variable(name), value, reason(err))
		}
		if e.flags.filled == nil {
			e.flags.filled = map[string]bool{}
		}
		e.flags.filled[name] = true
	}
	return nil
}

// settle completes and checks the global flags. Cobra calls it once the
// arguments are known to be right, and completion calls it.
func (e *Env) settle(cmd *cobra.Command) error {
	g, fs := &e.flags, cmd.Flags()
	g.set = cmd.Root().PersistentFlags()
	if err := e.fill(fs, environment...); err != nil {
		return err
	}
	g.tenantGiven = fs.Changed("tenant")
	g.timeoutGiven = fs.Changed("timeout") || e.getenv("CPCTL_TIMEOUT") != ""
	if !slices.Contains(formats, g.output) {
		return usagef("%q is not a format of --output", g.output).
			WithHint("the formats are %s", strings.Join(formats, ", "))
	}
	if !slices.Contains(colors, g.color) {
		return usagef("%q is no value of --color", g.color).WithHint("it is %s", strings.Join(colors, ", "))
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return usagef("%v", err)
	}
	if err := cmd.ValidateFlagGroups(); err != nil {
		return groupError(err)
	}
	return nil
}

// groupError says in fewer words than cobra which flags exclude each other.
func groupError(err error) error {
	_, set, ok := strings.Cut(err.Error(), "none of the others can be; [")
	set, _, all := strings.Cut(set, "] were all set")
	if !ok || !all {
		return usagef("%v", err)
	}
	return usagef("--%s exclude each other", strings.ReplaceAll(set, " ", " and --"))
}

// flagError makes a usage error, with a suggestion, of what the flag parser found.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var wrong *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
			return unknownCommand(cmd, args[0]) // the flag is that of a command we do not know
		}
		return unknownFlag(cmd, unknown)
	case errors.As(err, &missing):
		return usagef("--%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &wrong):
		return usagef("%q is no value of --%s: %s", wrong.GetValue(), wrong.GetFlag().Name, reason(wrong.Unwrap()))
	}
	return usagef("%v", err)
}

func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	if shorts := unknown.GetSpecifiedShortnames(); shorts != "" {
		return usagef("unknown flag -%s", unknown.GetSpecifiedName()).WithHint("see: %s --help", cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	name := unknown.GetSpecifiedName()
	if near := store.Suggest(name, names); near != "" {
		return usagef("unknown flag --%s", name).WithHint("did you mean --%s? see: %s --help", near, cmd.CommandPath())
	}
	return usagef("unknown flag --%s", name).WithHint("see: %s --help", cmd.CommandPath())
}

// reason says why a value cannot be read, without the names of Go's functions.
func reason(err error) string {
	var number *strconv.NumError
	if errors.As(err, &number) {
		switch number.Func {
		case "ParseBool":
			return "must be true or false"
		case "ParseUint", "ParseInt", "Atoi":
			return "must be a whole number"
		}
		return number.Err.Error()
	}
	return err.Error()
}

// duration is a flag in the syntax of documents: Go's, also with d and w, or
// whole seconds.
type duration time.Duration

func (d *duration) String() string {
	if *d == 0 {
		return "0s"
	}
	return store.Duration(*d).String()
}

func (d *duration) Type() string { return "duration" }

func (d *duration) Set(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	v, err := store.ParseDuration(s)
	if err != nil {
		return errors.New("must be a duration such as 30s, 15m or 7d")
	}
	*d = duration(v)
	return nil
}

// count is a flag for a whole number, zero or more.
type count struct{ n *uint64 }

func (c count) String() string {
	if c.n == nil {
		return "0"
	}
	return fmt.Sprint(*c.n)
}

func (c count) Type() string { return "uint" }

func (c count) Set(s string) (err error) {
	*c.n, err = strconv.ParseUint(s, 10, 64)
	return err
}
