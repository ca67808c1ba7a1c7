package cmd

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/store"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print the completion script of a shell",
		Long: `Print the script that completes commands, flags and names for ` + strings.Join(shells, ", ") + `.

  bash         source <(cpctl completion bash)
  zsh          cpctl completion zsh > "${fpath[1]}/_cpctl"
  fish         cpctl completion fish > ~/.config/fish/completions/cpctl.fish
  powershell   cpctl completion powershell | Out-String | Invoke-Expression`,
		Args: named("SHELL"), ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error { return writeCompletion(cmd.Root(), args[0], env) },
	}
}

func writeCompletion(root *cobra.Command, shell string, env *Env) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(env.Out, true)
	case "zsh":
		return root.GenZshCompletion(env.Out)
	case "fish":
		return root.GenFishCompletion(env.Out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(env.Out)
	}
	err := usagef("%q is not a shell that completion is made for", shell)
	if near := store.Suggest(shell, shells); near != "" {
		return err.WithHint("did you mean %q?", near)
	}
	return err.WithHint("the shells are %s", strings.Join(shells, ", "))
}

// completing is what cobra calls for the words of an argument or a flag.
type completing = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeNames completes the names of a kind from a live server; nothing, and
// silently, when it does not answer in time. Most is how many arguments a
// command takes, 0 for any number.
func completeNames(env *Env, kind string, most int) completing {
	return func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const done = cobra.ShellCompDirectiveNoFileComp
		if most > 0 && len(args) >= most || env.settle(cmd) != nil {
			return nil, done
		}
		tenant := ""
		if kind != "tenant" {
			var err error
			if tenant, err = env.tenant(); err != nil {
				return nil, done
			}
		}
		return env.completions(cmd, args, to, func(ctx context.Context, c Cluster) ([]string, error) {
			return siblings(ctx, c, kind, tenant)
		}), done
	}
}

// completions asks a live server for names within patience: those that go on
// from what was typed and are not there yet.
func (e *Env) completions(cmd *cobra.Command, args []string, to string, ask func(context.Context, Cluster) ([]string, error)) []cobra.Completion {
	e.flags.quiet, e.flags.verbose = true, false
	o, err := e.options()
	if err != nil {
		return nil
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := e.Dial(o)
	defer c.Close()
	names, err := ask(ctx, c)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, to) || slices.Contains(args, name) || clean(name) != name
	})
}

// completeWords completes a flag that has few values.
func completeWords(words ...string) completing {
	return func(_ *cobra.Command, _ []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		fit := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !strings.HasPrefix(word, to) })
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

func completeGlobals(env *Env, root *cobra.Command) {
	completeFlag(root, "output", completeWords(formats...))
	completeFlag(root, "color", completeWords(colors...))
	completeFlag(root, "tenant", completeNames(env, "tenant", 0))
	completeFlag(root, "context", completeContexts(env, 0))
}

// completeFlag panics for a flag that the command does not have: a mistake in
// this package that every test finds.
func completeFlag(cmd *cobra.Command, flag string, f completing) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}
