package cmd

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// login is one person who logs in to a cluster.
type login struct {
	env     *Env
	servers []string
	name    string // of the context
	replace bool
	token   pki.Token
	key     config.PrivateKey // PEM, made here; it goes nowhere else
	csr     []byte            // DER, of that key
}

func newLogin(env *Env) *cobra.Command {
	l := &login{env: env}
	cmd := &cobra.Command{
		Use: "login HOST:PORT[,HOST:PORT]...", Short: "Get into a cluster with a token, and keep it as a context",
		Long: "Get a certificate for this user with a token, which an admin of the cluster makes:\n\n" +
			"  cpctl token create --role operator --name ana --out ana.token\n\n" +
			"The key is made here and stays here. Servers, certificate, key and the cluster's authority\n" +
			"become a context, which is the current one from then on. The certificate is renewed when it\n" +
			"is used in the last third of its life. If no answer came, the same command again finishes\n" +
			"what was begun: the token is not lost. \"cpctl help roles\" says what each role may do.",
		Example: "  cpctl login 10.0.0.1:7700,10.0.0.2:7700 --token-file ana.token --name prod\n" +
			"  ssh admin@10.0.0.1 cpctl token create --role reader --name ci | cpctl login 10.0.0.1:7700 --token-file - --name prod",
		Args: named("HOST:PORT"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	fs := cmd.Flags()
	file := fs.String("token-file", "", "`FILE` with the token; - is stdin")
	fs.StringVar(&l.name, "name", "", "`NAME` of the context to make")
	fs.BoolVar(&l.replace, "replace", false, "in the place of the context that has the name")
	completeFlag(cmd, "name", completeContexts(env, 0))
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		l.servers = strings.Split(args[0], ",")
		for _, s := range l.servers {
			if err := checkServer("server", s); err != nil {
				return err
			}
			if !remote(s) {
				return usagef("%q is a socket, at which nobody logs in: whoever may open it is an admin", s).
					WithHint("use it as it is: cpctl -s %s", s)
			}
		}
		switch {
		case *file == "":
			return usagef("with which token?").WithHint("pass --token-file FILE, or - for stdin; an admin makes one: cpctl token create --role ROLE --name NAME")
		case l.name == "":
			return usagef("under which name is the cluster kept?").WithHint("pass --name CONTEXT, such as prod")
		}
		l.name = strings.TrimPrefix(l.name, "context/")
		if err := config.CheckName(l.name); err != nil {
			return err
		}
		if l.token, err = env.readToken(*file); err != nil {
			return err
		}
		ctx, cancel := env.deadline(cmd.Context())
		defer cancel()
		return l.run(ctx)
	}
	return cmd
}

// run logs in. What could keep the answer from being put down is found out
// before the token is used up.
func (l *login) run(ctx context.Context) error {
	path := l.env.configPath()
	if path == "" {
		return usagef("where are contexts kept?").WithHint("set HOME, or pass --config FILE")
	}
	if err := l.begin(ctx, path); err != nil {
		return err
	}
	answer, err := l.env.Enrol(ctx, l.servers, l.token, rpc.EnrolArgs{CSR: l.csr})
	var late *store.Error
	if errors.As(err, &late) && (late.Code == store.CodeUnavailable || late.Code == store.CodeUnknown) {
		return late.WithHint("%s", strings.TrimPrefix(late.Hint+"\nthe token is not lost: the same command again goes on where this one ended", "\n"))
	}
	if err != nil {
		return err
	}
	h, err := holderOf(answer.CertPEM)
	if err != nil {
		return fmt.Errorf("the certificate that the cluster sent: %w", err)
	}
	c := config.Context{Name: l.name, Servers: l.servers, Tenant: h.Tenant,
		CA: string(answer.CAPEM), Certificate: string(answer.CertPEM), Key: l.key}
	if l.env.flags.tenantGiven {
		c.Tenant = l.env.flags.tenant
	}
	var item contextItem
	var before *holder
	err = config.Update(ctx, path, func(f *config.File) error {
		if err := l.free(f); err != nil {
			return err
		}
		if old := f.Find(c.Name); old != nil && old.Key != c.Key {
			before = contextHolder(old)
		}
		f.Put(c)
		f.Current = c.Name
		item = itemOf(f, f.Find(c.Name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s has a certificate, but it is not kept: %w", h.id, err)
	}
	if err := config.Done(path, l.token.ID); err != nil {
		l.env.note("what was kept for another attempt is still there: %v", err)
	}
	err = l.env.show(contextDocument(item), contextName(l.name), func() error {
		return l.env.line(fmt.Sprintf("logged in as %s, cluster %s, until %s", h.id, h.ClusterID, stampOf(h.NotAfter)))
	})
	l.env.note("context %q is the current one, in %s", l.name, path)
	l.env.stillGood(before)
	for _, flag := range []string{"server", "context"} {
		if l.env.given(flag).Source == fromEnvironment {
			l.env.note("%s is set, and goes before it", variable(flag))
		}
	}
	return err
}

// free refuses a name that another context has. One with our own key is what an
// attempt before this one has made.
func (l *login) free(f *config.File) error {
	have := f.Find(l.name)
	if have == nil || l.replace || l.key != "" && have.Key == l.key {
		return nil
	}
	return store.Errorf(store.CodeExists, "context %q already exists", l.name).
		WithHint("choose another --name, or pass --replace to log in anew in its place")
}

// begin makes the key and the certificate request, or takes those of an attempt
// before: a token that is used up answers nobody but the key that it was used
// with. Keeping them proves that the answer can be kept as well.
func (l *login) begin(ctx context.Context, path string) error {
	f, err := l.env.contextsSoFar()
	if err != nil {
		return err
	}
	if f == nil {
		f = new(config.File)
	}
	kept, err := config.Pending(ctx, path, l.token.ID, func() ([]byte, error) {
		if err := l.free(f); err != nil { // nothing was begun yet
			return nil, err
		}
		csr, key, err := pki.NewCSR("cpctl login")
		if err != nil {
			return nil, err
		}
		keyPEM, err := pki.EncodeKeyPEM(key)
		if err != nil {
			return nil, err
		}
		return append(keyPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})...), nil
	})
	if err != nil {
		return err
	}
	keyBlock, rest := pem.Decode(kept)
	csrBlock, _ := pem.Decode(rest)
	if keyBlock == nil || csrBlock == nil || keyBlock.Type != "PRIVATE KEY" || csrBlock.Type != "CERTIFICATE REQUEST" {
		return store.Errorf(store.CodeInvalid, "%s is damaged: it does not hold the key of the attempt before", config.PendingFile(path, l.token.ID)).
			WithHint("remove it, and log in with a new token")
	}
	l.key, l.csr = config.PrivateKey(pem.EncodeToMemory(keyBlock)), csrBlock.Bytes
	return l.free(f)
}
