package cmd

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/config"
)

func newContextShow(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show where commands go, as whom, and what says so",
		Long: "Show the values that commands would use with these flags and this environment, and where\n" +
			"each comes from: a flag, the environment, the context, or the default. With NAME, as if\n" +
			"--context NAME were given. It asks no server, and shows no key.",
		Args: atMost(1), ValidArgsFunction: completeContexts(env, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return env.showContext(cmd.Context(), args) },
	}
}

func (e *Env) showContext(_ context.Context, args []string) error {
	which := e.given("context")
	if len(args) > 0 {
		e.flags.context = args[0]
		which = setting{"context", args[0], fromFlag, "NAME"}
	}
	c, err := e.chosen()
	if err != nil {
		return err
	}
	f, err := e.contexts()
	if err != nil {
		return err
	}
	var item contextItem
	switch {
	case c == nil:
		item.Servers, which.Value = []string{}, ""
	case which.Source == fromDefault:
		item, which = itemOf(f, c), setting{"context", c.Name, "current", ""}
	default:
		item, which.Value = itemOf(f, c), c.Name
	}
	file := e.given("config")
	file.Value = e.configPath()
	settings := []setting{which, file}
	more, err := e.settings(c)
	if err != nil {
		return err
	}
	settings = append(settings, more...)
	return e.show(contextDocument(item, member{"settings", settings}), contextName(item.Name), func() error {
		t := table{titles: []string{"SETTING", "VALUE", "FROM"}}
		for _, s := range settings {
			t.rows = append(t.rows, []string{s.Name, s.Value, strings.TrimSpace(s.Source + " " + s.From)})
		}
		return e.table(t)
	})
}

// settings are the values that commands would use.
func (e *Env) settings(c *config.Context) ([]setting, error) {
	server, err := e.serverSetting()
	if err != nil {
		return nil, err
	}
	tenant, err := e.tenantSetting()
	if err != nil {
		return nil, err
	}
	out := []setting{server, tenant}
	if c == nil {
		c = new(config.Context)
	}
	for _, s := range []struct{ flag, kept string }{
		{"ca", authorityText(c.CA)}, {"cert", e.certificateText(c.Certificate)}, {"key", keyText(c.Key)},
	} {
		is := e.given(s.flag)
		ofCert := s.flag != "ca" && (e.flags.cert != "" || e.flags.key != "") // the pair comes from one place
		if is.Value == "" && s.kept != "" && !ofCert {
			is = setting{s.flag, s.kept, fromContext, c.Name}
		} else if is.Value != "" && s.flag == "cert" {
			is.Value += e.fileText(is.Value)
		}
		out = append(out, is)
	}
	for _, flag := range []string{"output", "timeout", "color", "no-input", "data-dir"} {
		is := e.given(flag)
		if flag == "data-dir" && is.Source == fromDefault {
			is.Value = e.dataDir()
		}
		out = append(out, is)
	}
	return out, nil
}

// certificateText says whom a certificate names and until when.
func (e *Env) certificateText(certPEM string) string {
	if certPEM == "" {
		return ""
	}
	h, err := holderOf([]byte(certPEM))
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return h.id.String() + " of cluster " + h.ClusterID + ", " + e.until(h)
}

// fileText is what a file with a certificate holds, after its name.
func (e *Env) fileText(path string) string {
	if path == "-" {
		return ""
	}
	b, err := e.readFile(path, maxPEM)
	if err != nil {
		return " (unreadable)"
	}
	return " (" + e.certificateText(string(b)) + ")"
}

// authorityText names the cluster whose authority is trusted.
func authorityText(caPEM string) string {
	var names []string
	for rest := []byte(caPEM); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "unreadable: " + err.Error()
		}
		names = append(names, cert.Subject.CommonName+", until "+stampOf(cert.NotAfter))
	}
	if len(names) == 0 && caPEM != "" {
		return "unreadable: it is no certificate in PEM"
	}
	return strings.Join(names, "; ")
}

func keyText(key config.PrivateKey) string {
	if key == "" {
		return ""
	}
	return "kept, not shown"
}

func stampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }
