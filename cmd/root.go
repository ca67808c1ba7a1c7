package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/store"
)

// newRoot builds the tree of commands. It does no I/O: what a command needs of
// the world it takes from env when it runs.
func newRoot(env *Env) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "cpctl",
		Short: "Control plane of a multi-tenant identity platform",
		Long: `cpctl runs and operates a replicated store of tenants, OAuth clients, scopes and
signing keys. "cpctl node" is a member of the cluster; every other command is an
operator's verb against it. They ask the servers of the current context ("cpctl login"), and
without one the node of this machine. "cpctl help roles" says who may do what.`,
		Example: `  cpctl node                                  # in one terminal
  cpctl tenant create acme                    # in another
  cpctl client create web -t acme --public --redirect-uri https://app.acme.example/cb
  cpctl key rotate -t acme
  cpctl client list -t acme -o json | jq -r '.items[].client_id'`,
		Version:           versionText(),
		SilenceUsage:      true, // an error is one line; report prints it
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return env.settle(cmd) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	})
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetFlagErrorFunc(flagError)
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 { // nosuch --help
			env.unknown = unknownCommand(cmd, words[0])
			return
		}
		show(cmd, args)
	})
	env.flags.add(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "objects", Title: "What the cluster holds:"},
		&cobra.Group{ID: "cluster", Title: "The cluster:"})
	for _, c := range []*cobra.Command{newTenant(env), newClient(env), newScope(env), newKey(env)} {
		c.GroupID = "objects"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newNode(env), newCluster(env), newToken(env), newCert(env), newLogin(env), newContext(env), newSnapshot(env), newRestore(env), newRecover(env), newRequest(env), newAudit(env), newBench(env)} {
		c.GroupID = "cluster"
		root.AddCommand(c)
	}
	root.AddCommand(newCompletion(env), newVersion(env), newDocs())
	root.SetHelpCommand(newHelp(env))
	completeGlobals(env, root)
	return root
}

// newHelp replaces cobra's help command, which is content with unknown words.
func newHelp(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Help about a command, or about roles",
		RunE: func(cmd *cobra.Command, args []string) error {
			at := cmd.Root()
			if len(args) == 1 && topics[args[0]].text != nil {
				return topics[args[0]].text(env)
			}
			for _, word := range args {
				next := child(at, word)
				if next == nil && at == cmd.Root() && store.Suggest(word, topicNames()) != "" {
					return usagef("no help about %q", word).WithHint("did you mean %q? see: cpctl help %[1]s", store.Suggest(word, topicNames()))
				}
				if next == nil {
					return unknownCommand(at, word)
				}
				at = next
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
			at := cmd.Root()
			for _, word := range args {
				if at = child(at, word); at == nil {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
			}
			var words []cobra.Completion
			for _, c := range at.Commands() {
				if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), to) {
					words = append(words, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			for _, name := range topicNames() {
				if len(args) == 0 && strings.HasPrefix(name, to) {
					words = append(words, cobra.CompletionWithDesc(name, topics[name].short))
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func child(at *cobra.Command, word string) *cobra.Command {
	for _, c := range at.Commands() {
		if c.Name() == word || c.HasAlias(word) {
			return c
		}
	}
	return nil
}
