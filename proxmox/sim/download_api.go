package sim

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"
)

// An Appliance is a template that the nodes know where to download, by the name of its file.
type Appliance struct {
	Package     string  `yaml:"package"`
	Version     string  `yaml:"version"`
	OS          string  `yaml:"os,omitempty"`
	Section     string  `yaml:"section,omitempty"`
	Headline    string  `yaml:"headline,omitempty"`
	Size        Bytes   `yaml:"size"`
	OSType      *string `yaml:"ostype"`
	Content     string  `yaml:"content,omitempty"` // what is in the file, in place of all its bytes; its name where empty
	Unreachable bool    `yaml:"unreachable,omitempty"`
}

// A Download is a file or an OCI image that the nodes can fetch from elsewhere, by its URL or reference.
type Download struct {
	Size    Bytes   `yaml:"size"`
	OSType  *string `yaml:"ostype"`
	Content string  `yaml:"content,omitempty"` // what is in the file, in place of all its bytes; the URL where empty
}

// downloadAccess is what a node asks of who lets it fetch from anywhere: that can probe its network.
var downloadAccess = permission{check: func(c *call) error {
	if need("/", "Sys.Audit", "Sys.Modify").check(c) == nil || need("/nodes/{node}", "Sys.AccessNetwork").check(c) == nil {
		return nil
	}
	return forbidden("")
}}

var templateAccess = need("/storage/{storage}", "Datastore.AllocateTemplate")

var downloadRoutes = []route{
	{method: "GET", path: "/nodes/{node}/aplinfo", onNode: true, perm: everybody, handler: listAppliances},
	{
		method: "POST", path: "/nodes/{node}/aplinfo", onNode: true, protected: true, perm: templateAccess,
		props: props{"storage": format("pve-storage-id").need(), "template": str().atMost(255).need()}, handler: downloadAppliance,
	},
	{
		method: "POST", path: "/nodes/{node}/storage/{storage}/download-url", onNode: true, protected: true,
		perm: both(templateAccess, downloadAccess), handler: downloadURL,
		props: props{
			"url": matching(`https?://.*`).need(), "content": enum("iso", "vztmpl", "import").need(), "filename": str().atMost(255).need(),
			"checksum": str().with("checksum-algorithm"), "compression": enum("gz", "lzo", "zst", "bz2"), "verify-certificates": boolean(),
			"checksum-algorithm": enum("md5", "sha1", "sha224", "sha256", "sha384", "sha512").with("checksum"),
		},
	},
	{
		method: "POST", path: "/nodes/{node}/storage/{storage}/oci-registry-pull", onNode: true, protected: true,
		perm: both(templateAccess, need("/nodes/{node}", "Sys.AccessNetwork")), handler: pullImage,
		props: props{"reference": matching(referenceText).need(), "filename": str().atMost(255)},
	},
}

// referenceText is a reference of an OCI image with its tag: registry, path and tag.
const referenceText = `(?:(?:[a-zA-Z\d]|[a-zA-Z\d][a-zA-Z\d-]*[a-zA-Z\d])(?:\.(?:[a-zA-Z\d]|[a-zA-Z\d][a-zA-Z\d-]*[a-zA-Z\d]))*(?::\d+)?/)?` +
	`[a-z\d]+(?:(?:[._]|__|[-]*)[a-z\d]+)*(?:/[a-z\d]+(?:(?:[._]|__|[-]*)[a-z\d]+)*)*:\w[\w.-]{0,127}`

// listAppliances is pve-manager API2/Nodes.pm, aplinfo.
func listAppliances(c *call) (any, error) {
	rows := []map[string]any{}
	for _, file := range sortedKeys(c.sim.st.Appliances) {
		a := c.sim.st.Appliances[file]
		row := map[string]any{
			"template": file, "package": a.Package, "version": a.Version, "os": a.OS, "section": a.section(), "type": "lxc",
			"architecture": "amd64", "headline": a.Headline, "description": a.Headline, "infopage": "https://pve.proxmox.com",
			"location": applianceSource + "/" + a.section() + "/" + file, "source": applianceSource,
			"sha512sum": checksum("sha512", a.content(file)),
		}
		rows = append(rows, row)
	}
	return rows, nil
}

const applianceSource = "http://download.proxmox.com/images"

func (a *Appliance) section() string {
	if a.Section == "" {
		return "system"
	}
	return a.Section
}

func (a *Appliance) content(file string) string {
	if a.Content == "" {
		return file
	}
	return a.Content
}

// downloadAppliance is pve-manager API2/Nodes.pm, apl_download.
func downloadAppliance(c *call) (any, error) {
	file := c.str("template")
	a := c.sim.st.Appliances[file]
	if a == nil {
		return nil, paramError("template", "no such template")
	}
	id := c.str("storage")
	cfg, err := c.sim.enabledStorage(id, c.node)
	if err != nil {
		return nil, err
	}
	if !cfg.holds("vztmpl") {
		return nil, dief("storage '%s' does not support templates", id)
	}
	f := fetch{
		url: applianceSource + "/" + a.section() + "/" + file, volid: id + ":vztmpl/" + file,
		algorithm: "sha512", checksum: checksum("sha512", a.content(file)),
	}
	if !a.Unreachable {
		f.from = &Download{Size: a.Size, OSType: a.OSType, Content: a.content(file)}
	}
	return c.fork("download", file, f.run), nil
}

var (
	oddCharacters = regexp.MustCompile(`[^a-zA-Z0-9_.-]`)
	templateName  = regexp.MustCompile(`(?i)[^/]+\.tar(?:\.(?:gz|xz|zst|bz2))?$`)
)

// contentName is how a node writes the name of a file (Storage.pm, normalize_content_filename).
func contentName(text string) string {
	text = strings.TrimSuffix(text, "\n")
	text = text[strings.LastIndexAny(text, `/\`)+1:]
	return oddCharacters.ReplaceAllString(text, "_")
}

// templateStorage is where templates may be put.
func (c *call) templateStorage() (string, error) {
	id := c.str("storage")
	cfg, err := c.sim.enabledStorage(id, c.node)
	switch {
	case err != nil:
		return "", err
	case !storageKinds[cfg.Type].files:
		return "", dief("can't upload to storage type '%s', not a file based storage!", cfg.Type)
	case !cfg.holds("vztmpl"):
		return "", dief("storage '%s' is not configured for content-type 'vztmpl'", id)
	}
	return id, nil
}

// downloadURL is pve-storage API2/Storage/Status.pm, download_url, for templates.
func downloadURL(c *call) (any, error) {
	if c.str("content") != "vztmpl" {
		return nil, &fault{status: 501, text: "the simulator downloads templates only\n"}
	}
	id, err := c.templateStorage()
	if err != nil {
		return nil, err
	}
	file := contentName(c.str("filename"))
	if !templateName.MatchString(file) {
		return nil, paramError("filename", "wrong file extension")
	}
	f := fetch{
		url: c.str("url"), volid: id + ":vztmpl/" + file, from: c.sim.st.Downloads[c.str("url")],
		algorithm: c.str("checksum-algorithm"), checksum: c.str("checksum"),
	}
	return c.fork("download", file, func(t *task) error {
		if c.given("compression") {
			return dief("decompression not supported for vztmpl")
		}
		return f.run(t)
	}), nil
}

// pullImage is pve-storage API2/Storage/Status.pm, oci_registry_pull.
func pullImage(c *call) (any, error) {
	id, err := c.templateStorage()
	if err != nil {
		return nil, err
	}
	reference := c.str("reference")
	name := c.str("filename")
	if name == "" {
		name = reference
	}
	file := contentName(name) + ".tar"
	volid := id + ":vztmpl/" + file
	if c.sim.hasTemplate(volid, c.node) {
		return nil, dief("refusing to override existing file '%s'", file)
	}
	from := c.sim.st.Downloads[reference]
	return c.fork("ociregistrypull", file, func(t *task) error {
		if err := t.work(); err != nil {
			return err
		}
		if from == nil {
			t.print(fmt.Sprintf(`time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \"docker://%s\": manifest unknown"`, reference))
			return dief("command 'skopeo copy docker://%s' failed: exit code 1", reference)
		}
		t.print("Getting image source signatures", "Writing manifest to image destination")
		t.sim.putTemplate(volid, t.call.node, from.template(reference, t.sim.opts.Now().Unix()))
		return nil
	}), nil
}

// A fetch is the download of one file (pve-common Tools.pm, download_file_from_url).
type fetch struct {
	url, volid          string
	from                *Download // nil: nobody answers there
	algorithm, checksum string
}

func (f fetch) run(t *task) error {
	s, path := t.sim, t.sim.volumePath(f.volid)
	t.print(fmt.Sprintf("downloading %s to %s", f.url, path))
	if s.hasTemplate(f.volid, t.call.node) {
		if f.checksum == "" {
			return dief("refusing to override existing file '%s'", path)
		}
		t.print("calculating checksum of existing file...")
		if err := f.verify(s.st.Templates[f.volid].content(f.volid), ", aborting"); err != nil {
			return err
		}
		t.print("OK, got correct file already, no need to download")
		return nil
	}
	if err := t.work(); err != nil {
		return err
	}
	if f.from == nil {
		return dief("download failed: wget: unable to resolve host address")
	}
	if f.checksum != "" {
		t.print("calculating checksum...")
		if err := f.verify(f.from.content(f.url), ""); err != nil {
			return err
		}
		t.print("OK, checksum verified")
	}
	s.putTemplate(f.volid, t.call.node, f.from.template(f.url, s.opts.Now().Unix()))
	t.print(fmt.Sprintf("download of '%s' to '%s' finished", f.url, path))
	return nil
}

func (f fetch) verify(content, tail string) error {
	if got := checksum(f.algorithm, content); !strings.EqualFold(got, f.checksum) {
		return dief("checksum mismatch: got '%s' != expect '%s'%s", got, f.checksum, tail)
	}
	return nil
}

func (d *Download) content(url string) string {
	if d.Content == "" {
		return url
	}
	return d.Content
}

func (d *Download) template(url string, now int64) *Template {
	return &Template{Size: d.Size, OSType: copyOf(d.OSType), CTime: now, Content: d.content(url)}
}

func (t *Template) content(volid string) string {
	if t.Content == "" {
		return volid[strings.LastIndexByte(volid, '/')+1:]
	}
	return t.Content
}

// checksum is that of a content by an algorithm, in hex.
func checksum(algorithm, content string) string {
	h := map[string]func() hash.Hash{
		"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	}[algorithm]()
	h.Write([]byte(content))
	return hex.EncodeToString(h.Sum(nil))
}

// hasTemplate reports whether a node has a template.
func (s *Sim) hasTemplate(volid, node string) bool {
	t := s.st.Templates[volid]
	return t != nil && (len(t.Nodes) == 0 || slices.Contains(t.Nodes, node))
}

// putTemplate adds a template: on a storage of this node alone, or for all nodes.
func (s *Sim) putTemplate(volid, node string, t *Template) {
	id, _, _ := strings.Cut(volid, ":")
	if old := s.st.Templates[volid]; old != nil && len(old.Nodes) > 0 {
		t.Nodes = slices.Clone(old.Nodes)
	}
	if !s.st.Storages[id].isShared() && len(s.st.Nodes) > 1 {
		t.Nodes = append(t.Nodes, node)
		slices.Sort(t.Nodes)
	}
	s.st.Templates[volid] = t
	s.store.touch()
}

// dropTemplate removes a template from a node.
func (s *Sim) dropTemplate(volid, node string) {
	t := s.st.Templates[volid]
	if len(t.Nodes) == 0 && (len(s.st.Nodes) == 1 || s.st.Storages[volid[:strings.IndexByte(volid, ':')]].isShared()) {
		delete(s.st.Templates, volid)
		return
	}
	if len(t.Nodes) == 0 {
		t.Nodes = sortedKeys(s.st.Nodes)
	}
	t.Nodes = slices.DeleteFunc(slices.Clone(t.Nodes), func(n string) bool { return n == node })
	if len(t.Nodes) == 0 {
		delete(s.st.Templates, volid)
	}
}
