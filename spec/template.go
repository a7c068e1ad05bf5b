package spec

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// Rows of a template.
var (
	TemplateStorage = setting.Key[string]{
		Path: "storage", Type: setting.StorageName(), Required: true, Example: "local",
		Doc: "Storage on which the template lies. It must take templates (content vztmpl).",
	}
	TemplateAppliance = setting.Key[string]{
		Path: "appliance", Example: "debian-13-standard",
		Type: setting.Pattern("name of an appliance, as in debian-13-standard, or of its file", `[A-Za-z0-9][A-Za-z0-9_.+~-]*`),
		Doc: "A template of the list that Proxmox keeps (pveam available): its name, and then any version that is there is " +
			"good and otherwise the newest is downloaded; or its file, for one version.",
	}
	TemplateURL = setting.Key[string]{
		Path: "url", Label: "URL", Example: `"https://example.com/images/base_1.4_amd64.tar.zst"`,
		Type: urlType(), Doc: "Where to download the template. It needs a checksum.",
	}
	TemplateChecksum = setting.Key[string]{
		Path: "checksum", Example: `"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`,
		Type: setting.Text("checksum with its algorithm, as in sha256:… or sha512:…", checkChecksum),
		Doc:  "What the downloaded file must be: sha256, sha384 or sha512, a colon, and the checksum in hex.",
	}
	TemplateImage = setting.Key[string]{
		Path: "image", Example: `"docker.io/library/caddy:2"`,
		Type: setting.Pattern("reference of an OCI image with its tag, as in docker.io/library/caddy:2", imageReference),
		Doc:  "An OCI image to pull from its registry. An image that is there is not pulled again when its tag moves.",
	}
	TemplateFile = setting.Key[string]{
		Path: "file", Example: "base_1.4_amd64.tar.zst",
		Type: setting.Pattern("name of a file that ends in .tar, .tar.gz, .tar.xz, .tar.zst or .tar.bz2", templateFile),
		Doc:  "Name of the file on the storage. Absent: the end of the URL or of the image's reference.",
	}
	TemplateNodes = setting.Key[[]string]{
		Path: "nodes", Type: names("name of a node"), Example: "[pve1]",
		Doc: "Nodes that shall have it. Absent: those of the containers that are made from it, or where there are none, all " +
			"that are online. A shared storage gets it once.",
	}
)

// TemplateFields is everything that may be written for one template.
var TemplateFields = setting.Object{
	Name: "template",
	Rows: []setting.Row{
		TemplateStorage, TemplateAppliance, TemplateURL, TemplateChecksum, TemplateImage, TemplateFile, TemplateNodes,
	},
}

// Templates is where they are written.
var Templates = setting.Key[setting.Members]{
	Path: "templates", Type: setting.Mapping(setting.Pattern("name of a template (letters, digits, . _ -)", aliasExpr), TemplateFields),
	Doc:     "Templates that are made present and never deleted. Containers name them: from: {template: debian-13}.",
	Example: "{debian-13: {storage: local, appliance: debian-13-standard}}",
}

const (
	aliasExpr      = `[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?`
	templateFile   = `[A-Za-z0-9_.-]+\.tar(\.(gz|xz|zst|bz2))?`
	imageReference = `([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
)

// A Template is something that containers are made from.
type Template struct {
	Name      string // by which containers refer to it
	Storage   string
	Appliance string // name or file in Proxmox's list, or
	URL       string // where to download it, with
	Checksum  Checksum
	Image     string // or the reference of an OCI image
	File      string // its name on the storage, where the spec says one; see FileName
	Nodes     []string
	Place     Place
}

// A Checksum is what a file must be.
type Checksum struct{ Algorithm, Hex string }

// String is the checksum as authors write it; empty where there is none.
func (c Checksum) String() string {
	if c.Algorithm == "" {
		return ""
	}
	return c.Algorithm + ":" + c.Hex
}

// NewTemplate makes a Template from the values of [TemplateFields].
func NewTemplate(name string, r setting.Record, at Place) *Template {
	t := &Template{
		Name: name, Place: at, Storage: TemplateStorage.Or(r, ""), Appliance: TemplateAppliance.Or(r, ""),
		URL: TemplateURL.Or(r, ""), Image: TemplateImage.Or(r, ""), Nodes: TemplateNodes.Or(r, nil), File: TemplateFile.Or(r, ""),
	}
	t.Checksum.Algorithm, t.Checksum.Hex, _ = strings.Cut(strings.ToLower(TemplateChecksum.Or(r, "")), ":")
	return t
}

// FileName is its name on the storage; empty for an appliance without a version, of which the file is found out.
func (t *Template) FileName() string {
	switch u, err := url.Parse(t.URL); {
	case t.File != "":
		return t.File
	case t.Image != "":
		return fileName(t.Image) + ".tar"
	case t.URL != "" && err == nil:
		return fileName(u.Path)
	case fullTemplateFile.MatchString(t.Appliance):
		return t.Appliance
	}
	return ""
}

// Record is the inverse of [NewTemplate].
func (t *Template) Record() setting.Record {
	r := setting.Record{}
	for key, text := range map[*setting.Key[string]]string{
		&TemplateStorage: t.Storage, &TemplateAppliance: t.Appliance, &TemplateURL: t.URL,
		&TemplateChecksum: t.Checksum.String(), &TemplateImage: t.Image, &TemplateFile: t.File,
	} {
		if text != "" {
			key.Set(r, text)
		}
	}
	if len(t.Nodes) > 0 {
		TemplateNodes.Set(r, t.Nodes)
	}
	return r
}

// Volume is the template's volume for a name of its file.
func (t *Template) Volume(file string) string { return t.Storage + ":vztmpl/" + file }

var (
	oddCharacters    = regexp.MustCompile(`[^a-zA-Z0-9_.-]`)
	fullTemplateFile = regexp.MustCompile(`^` + templateFile + `$`)
)

// fileName is what Proxmox makes of a name (pve-storage Storage.pm, normalize_content_filename).
func fileName(text string) string {
	text = text[strings.LastIndexAny(text, `/\`)+1:]
	return oddCharacters.ReplaceAllString(text, "_")
}

func urlType() setting.Type[string] {
	t := setting.Text("URL that begins with http:// or https://", func(s string) error {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return errors.New("is not a URL: write one that begins with https://")
		}
		return nil
	})
	decode := t.Decode
	t.Decode = func(in any, at setting.Path, report setting.Report) (string, bool) {
		text, isText := in.(string)
		if u, err := url.Parse(text); isText && (err != nil && strings.Contains(text, "@") || err == nil && u.User != nil) {
			report(at, errors.New("holds a user name or password, which plans would show: take it out"))
			return "", false
		}
		return decode(in, at, report)
	}
	t.Schema = setting.Schema{"type": "string", "pattern": "^https?://"}
	return t
}

var digits = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}

func checkChecksum(s string) error {
	algorithm, hex, ok := strings.Cut(strings.ToLower(s), ":")
	n := digits[algorithm]
	switch {
	case !ok || n == 0:
		return errors.New("does not begin with its algorithm: write sha256:, sha384: or sha512: before it")
	case len(hex) != n:
		return fmt.Errorf("has %d digits, and a checksum of %s has %d", len(hex), algorithm, n)
	case strings.Trim(hex, "0123456789abcdef") != "":
		return errors.New("holds other characters than 0 to 9 and a to f")
	}
	return nil
}

// origin is what tells where a template comes from and what its file is called.
func (t *Template) origin() []setting.Path {
	return below(setting.Path{Templates.Path, t.Name}, TemplateAppliance, TemplateURL, TemplateImage, TemplateChecksum, TemplateFile)
}

// templates checks the templates, and that the ones that containers name are there.
func (v *validation) templates() {
	files := map[string]string{}
	known := map[string]*Template{}
	var list []string
	for _, t := range v.state.Templates {
		known[t.Name] = t
		list = append(list, t.Name)
		v.template(t)
		file := t.FileName()
		if t.Storage == "" || file == "" {
			continue
		}
		if other, ok := files[t.Volume(file)]; ok {
			v.fault(setting.Path{Templates.Path, t.Name}, slices.Concat(t.origin(), known[other].origin(), []setting.Path{{Templates.Path, t.Name, TemplateStorage.Path}, {Templates.Path, other, TemplateStorage.Path}}), "is the file %s on storage %s, as is template %s: write file, with another name", file, t.Storage, other)
		}
		files[t.Volume(file)] = t.Name
	}
	for _, c := range v.state.Containers {
		for _, from := range []struct {
			path, name string
			image      bool
		}{{FromTemplate.Path, c.From.Template, false}, {FromImage.Path, c.From.Image, true}} {
			if from.name == "" || strings.Contains(from.name, ":") {
				continue
			}
			at := setting.Path{Containers.Path, c.Name}.Join(strings.Split(from.path, ".")...)
			switch t := known[from.name]; {
			case t == nil:
				v.fault(at, nil, "there is no template %q%s", from.name, didYouMean(from.name, list))
			case t.Image != "" && !from.image:
				v.fault(at, t.origin(), "%s is an OCI image: write from: {image: %s}", t.Name, t.Name)
			case t.Image == "" && from.image:
				v.fault(at, t.origin(), "%s is no OCI image: write from: {template: %s}", t.Name, t.Name)
			case len(t.Nodes) > 0 && !contains(t.Nodes, c.Node) && c.Node != "":
				v.fault(at, []setting.Path{pathOf(c, Node), {Templates.Path, t.Name, TemplateNodes.Path}}, "template %s is for the nodes %s, and the container is for %s: correct one of them", t.Name, strings.Join(t.Nodes, ", "), c.Node)
			}
		}
	}
}

func (v *validation) template(t *Template) {
	at := setting.Path{Templates.Path, t.Name}
	n := 0
	for _, s := range []string{t.Appliance, t.URL, t.Image} {
		if s != "" {
			n++
		}
	}
	switch {
	case n == 0:
		v.fault(at, t.origin(), "has no source: write appliance, url with checksum, or image")
	case n > 1:
		v.fault(at, t.origin(), "has more than one source: keep one of appliance, url and image")
	case t.URL != "" && t.Checksum.Hex == "":
		v.fault(at.Join(TemplateChecksum.Path), t.origin(), "is missing: write what the file must be, as in checksum: sha256:…")
	case t.URL == "" && t.Checksum.Hex != "":
		v.fault(at.Join(TemplateChecksum.Path), t.origin(), "goes with url alone: remove it")
	case t.Appliance != "" && t.File != "":
		v.fault(at.Join(TemplateFile.Path), t.origin(), "is the appliance's own: write it as the appliance, or remove it")
	case t.URL != "" && !fullTemplateFile.MatchString(t.FileName()):
		v.fault(at.Join(TemplateFile.Path), t.origin(), "is missing: the URL ends in %q, which is no name of a template; write one that ends in .tar.zst or the like", t.FileName())
	case t.Image != "" && !strings.HasSuffix(t.FileName(), ".tar"):
		v.fault(at.Join(TemplateFile.Path), t.origin(), "is the name of an OCI image, to which Proxmox adds .tar: write one that ends in .tar")
	}
	if t.Storage == "" {
		v.fault(at.Join(TemplateStorage.Path), nil, "is missing: write the storage, as in storage: %s", TemplateStorage.Example)
	}
	for _, node := range t.Nodes {
		if nodes := v.state.Cluster.Nodes; len(nodes) > 0 && !contains(nodes, node) {
			v.fault(at.Join(TemplateNodes.Path), nil, "%q is none of cluster.nodes, which are %s: correct one of them", node, strings.Join(nodes, ", "))
		}
	}
}
