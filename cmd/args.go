package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/store"
)

// named wants exactly these arguments, each not empty.
func named(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := atLeast(cmd, args, names...); err != nil {
			return err
		}
		if len(args) > len(names) {
			return usagef("unexpected argument %q", args[len(names)]).WithHint("see: %s --help", cmd.CommandPath())
		}
		return nil
	}
}

// several wants one or more arguments, each not empty.
func several(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return atLeast(cmd, args, name) }
}

// atMost wants no more than n arguments, each not empty.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("unexpected argument %q", args[n]).WithHint("see: %s --help", cmd.CommandPath())
		}
		return atLeast(cmd, args)
	}
}

// atLeast wants the given arguments and whatever follows. An empty argument is
// most likely a variable that was not set, and never a name.
func atLeast(cmd *cobra.Command, args []string, names ...string) error {
	for i, name := range names {
		if i >= len(args) {
			return usagef("missing %s", name).WithHint("see: %s --help", cmd.CommandPath())
		}
	}
	for i, a := range args {
		if a == "" {
			return usagef("argument %d is empty", i+1).WithHint("see: %s --help", cmd.CommandPath())
		}
	}
	return nil
}

// group makes a command that only holds others: alone it prints its help, and
// an unknown verb is an error with a suggestion.
func group(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(verbs...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, word string) error {
	var words []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			words = append(append(words, c.Name()), c.Aliases...)
		}
	}
	err := usagef("unknown command %q for %q", word, cmd.CommandPath())
	if near := store.Suggest(strings.ToLower(word), words); near != "" {
		return err.WithHint("did you mean %q? see: %s --help", near, cmd.CommandPath())
	}
	return err.WithHint("see: %s --help", cmd.CommandPath())
}
