package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newKeyExport(env *Env, owner *keyOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "Give the private part of a key to the process that signs",
		Long: "Give the private part of the active key to the process that signs with it: into a file\n" +
			"that only you can read, replaced as a whole, or into a descriptor that the caller opened.\n" +
			"It is never written to a terminal, to stdout or to stderr.\n\n" +
			"It is a private JWK (RFC 7517): one JSON object with kid, alg and the key, the same entry\n" +
			"as in \"cpctl key jwks\" with its private members. Whoever has it can sign as the owner of\n" +
			"the key until the key is revoked. It is the same key until the next rotation: export then.\n\n" +
			"Every export is on record in the log of the cluster before the key is handed out: who, where\n" +
			"and when. \"cpctl key get KID\" shows the last ones. A retry is another export.",
		Example: "  cpctl key export -t acme --out acme.jwk\n" +
			"  cpctl key export -t acme --fd 3 3>&1 >/dev/null | my-signer --key-file /dev/stdin",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	var kid string
	to := new(privateOut)
	cmd.Flags().StringVar(&kid, "kid", "", "`KID` of the key (default the active one)")
	cmd.Flags().StringVar(&to.path, "out", "", "write it to `FILE`, mode 0600, replaced in one step; links are not followed")
	cmd.Flags().StringVar(&to.fd, "fd", "", "write it to the open descriptor `N`, 3 or more")
	cmd.MarkFlagsMutuallyExclusive("out", "fd")
	completeFlag(cmd, "kid", completeKeys(env, owner))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ref := store.Ref{Kind: "key", Name: kid}
		var err error
		if kid == "" {
			ref.Tenant, err = owner.slug(env)
		} else {
			ref, err = owner.key(env, kid)
		}
		if err != nil {
			return err
		}
		if err := to.begin(); err != nil { // what cannot be put down is not asked for
			return err
		}
		defer to.discard()
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
			return env.exportKey(ctx, c, rpc.ExportArgs{Tenant: ref.Tenant, KID: ref.Name}, to)
		})
	}
	return cmd
}

// keyExport is the JSON of `key export`: what was done, never the key.
type keyExport struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // key_export
	Tenant        string `json:"tenant"`
	KID           string `json:"kid"`
	Index         uint64 `json:"index"` // of the log entry that records it
	Out           string `json:"out"`   // the file, or fd:N
}

func (e *Env) exportKey(ctx context.Context, c Cluster, args rpc.ExportArgs, to *privateOut) error {
	r, err := c.Export(ctx, args)
	if err != nil {
		return suggestOwner(ctx, c, args.Tenant, err)
	}
	name := store.Ref{Kind: "key", Tenant: r.Tenant, Name: r.KID}.String()
	err = to.write(r.Key)
	r.Wipe()
	if err != nil && to.file.done {
		return fmt.Errorf("%s was exported, and may be gone after a power cut: %w", name, err)
	}
	if err != nil {
		return fmt.Errorf("%s is on record as exported (index %s), but was not: %w", name, strconv.FormatUint(r.Index, 10), err)
	}
	doc, err := encode(keyExport{store.FormatVersion, "key_export", r.Tenant, r.KID, r.Index, to.name()})
	if err != nil {
		return err
	}
	return e.show(json.RawMessage(doc), name, func() error { return e.line(name + " exported") })
}
