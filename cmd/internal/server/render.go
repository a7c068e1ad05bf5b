package server

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

//go:embed assets
var assets embed.FS

//go:embed pages
var pageFiles embed.FS

// pages are the templates, by name.
type pages struct{ byName map[string]*template.Template }

// newPages parses the templates: each file of the folder pages with layout.html and parts.html.
func newPages() (*pages, error) {
	p := &pages{map[string]*template.Template{}}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		t, err := template.New(path.Base(n)).Funcs(functions()).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html", n)
		if err != nil {
			return nil, fmt.Errorf("parse the page %s: %w", n, err)
		}
		p.byName[strings.TrimSuffix(path.Base(n), ".html")] = t
	}
	return p, nil
}

// write writes a page, whole or not at all.
func (p *pages) write(w http.ResponseWriter, code int, name string, d data) {
	var b bytes.Buffer
	if err := p.byName[name].ExecuteTemplate(&b, "layout.html", d); err != nil {
		plain(w, http.StatusInternalServerError, "make the page: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// static serves style, script and icon, which hold nothing that is not in the repository of tend.
func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		s.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(text)
}

// functions are what templates can do beyond showing fields.
func functions() template.FuncMap {
	return template.FuncMap{
		"clean":     func(v any) string { return view.Clean(fmt.Sprint(v)) },
		"ago":       func(t time.Time) string { return ago(t, time.Now()) },
		"due":       func(t time.Time) string { return due(t, time.Now()) },
		"exact":     func(t time.Time) string { return t.Local().Format("Mon 2 Jan 2006, 15:04:05 MST") },
		"iso":       func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"unblocked": func(s string) string { return view.Clean(strings.TrimPrefix(s, "blocked: ")) },
		"took":      took, "short": shortHash, "subject": firstLine, "who": who,
		"sync": syncClass, "health": healthClass, "result": resultClass, "level": levelClass, "effect": effectClass,
		"count": count, "where": where, "about": aboutURL, "timeline": timelineOf, "age": func(c *report.Copies) ageData { return ageOf(c, time.Now()) },
		"older": func(c *report.Copies) bool { return c.TooOld(time.Now()) },
		"join":  strings.Join, "dict": dict, "add": func(a, b int) int { return a + b },
	}
}

// dict makes a map of pairs, for templates that take several values.
func dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		out[key] = pairs[i+1]
	}
	return out, nil
}

// due is a time at which something is to happen, as people say it: "in 3 h", "soon", and "now" once it has come, since the
// page may be older than that. The script of the page says it in the same way.
func due(t, now time.Time) string {
	if t.IsZero() || t.After(now) {
		return ago(t, now)
	}
	return "now"
}

// ago is a time as people say it: "12 min ago", "in 3 h", "just now", "soon". The script of the page says it in the same way.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	future := d < 0
	if future {
		d = -d
	}
	text := ""
	switch {
	case d < 10*time.Second && future:
		return "soon"
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		text = fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		text = fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		text = fmt.Sprintf("%d h", int(d.Hours()))
	default:
		text = fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	if future {
		return "in " + text
	}
	return text + " ago"
}

func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// shortHash is the beginning of a hash, as git shows it.
func shortHash(h string) string { return h[:min(7, len(h))] }

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// who is the name of an author without the mail address.
func who(author string) string {
	name, _, _ := strings.Cut(author, " <")
	return cmp.Or(strings.TrimSpace(name), author)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// The classes of what is set off: ok, note, warn, bad, off. The word always stands beside the colour.

func syncClass(s view.Sync) string {
	return map[view.Sync]string{
		view.Synced: "ok", view.OutOfSync: "note", view.SyncBlocked: "warn", view.Suspended: "off", view.Unclaimed: "off",
	}[s]
}

func healthClass(h report.Health) string {
	return map[report.Health]string{report.Healthy: "ok", report.Degraded: "bad", report.UnknownHealth: "warn"}[h]
}

func resultClass(r report.Result) string {
	switch {
	case r.Bad():
		return "bad"
	case r == report.Converged, r == report.Quiet:
		return "ok"
	case r == report.Blocked:
		return "warn"
	}
	return "note"
}

func levelClass(l report.Level) string {
	return map[report.Level]string{report.Well: "ok", report.Note: "note", report.Warn: "warn", report.Danger: "bad"}[l]
}

func effectClass(e string) string {
	switch {
	case e == "data is lost":
		return "bad"
	case e == "blocked", e == "refused":
		return "warn"
	case strings.HasPrefix(e, "restart"), e == "stop", e == "link flap", e == "waits", e == "recreate":
		return "note"
	}
	return "off"
}

// where is the page that tells more about something.
func where(i report.Item) string {
	switch {
	case i.ID != 0:
		return "/containers/" + i.ID.String()
	case i.At != "":
		return "/" + string(i.At)
	}
	return "/"
}

// aboutURL is the page of what a plan is about; empty where it has none.
func aboutURL(s plan.Subject) string {
	if s.Kind != plan.ContainerKind || s.ID == proxmox.VMID(0) {
		return ""
	}
	return "/containers/" + s.ID.String()
}
