package privileged

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Setup is a command by which root, at a person's word, gives tend its way to Proxmox: a role, a user, a token, an entry
// of the access list, the start of a unit. tend install runs them, once. It is no exception of the list: an API token of
// an administrator could do most of it, no request leads to one, and the lane and the helper cannot run one. Only the
// functions of this file make one, so that these are all that there are.
type Setup struct{ argv []string }

// Argv is the vector, whose first word is an absolute path.
func (s Setup) Argv() []string { return slices.Clone(s.argv) }

// String is the command as a person would type it.
func (s Setup) String() string {
	if len(s.argv) == 0 {
		return ""
	}
	words := s.Argv()
	words[0] = path.Base(words[0])
	return Command{Argv: words}.String()
}

// pveumPath stands on no row: nothing but setup runs it. It is of pve-access-control.
const pveumPath = "/usr/sbin/pveum"

// The forms of names: pve-access-control AccessControl.pm (verify_rolename, verify_username, token_subid_regex,
// normalize_path). Only users of Proxmox's own realm are made.
var (
	roleExpr  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	userExpr  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*@pve$`)
	tokenExpr = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]+$`)
	privExpr  = regexp.MustCompile(`^[A-Z][A-Za-z]+(\.[A-Z][A-Za-z]+)+$`)
	pathExpr  = regexp.MustCompile(`^/([A-Za-z0-9._@:-]+(/[A-Za-z0-9._@:-]+)*)?$`)
)

// Units are the units that setup may enable.
func Units() []string { return []string{"tend-helper.socket", "tend.service"} }

func setup(checks []error, argv ...string) (Setup, error) {
	for _, err := range checks {
		if err != nil {
			return Setup{}, err
		}
	}
	return Setup{argv}, nil
}

func matches(what, text string, expr *regexp.Regexp) error {
	if !expr.MatchString(text) {
		return fmt.Errorf("%q is no %s", text, what)
	}
	return nil
}

func privilegesOf(names []string) (string, []error) {
	var checks []error
	if len(names) == 0 {
		checks = append(checks, fmt.Errorf("a role has no privileges"))
	}
	for _, n := range names {
		checks = append(checks, matches("privilege", n, privExpr))
	}
	return strings.Join(names, " "), checks
}

// AddRole makes a role.
func AddRole(name string, privileges []string) (Setup, error) {
	privs, checks := privilegesOf(privileges)
	return setup(append(checks, matches("name of a role", name, roleExpr)), pveumPath, "role", "add", name, "--privs", privs)
}

// ChangeRole gives a role these privileges and no others.
func ChangeRole(name string, privileges []string) (Setup, error) {
	privs, checks := privilegesOf(privileges)
	return setup(append(checks, matches("name of a role", name, roleExpr)), pveumPath, "role", "modify", name, "--privs", privs)
}

// AddUser makes a user of the realm pve, without a password, so that nobody can log in as it.
func AddUser(user string) (Setup, error) {
	return setup([]error{matches("user of the realm pve, as in tend@pve", user, userExpr)}, pveumPath, "user", "add", user, "--comment", "tend")
}

// AddToken makes a token with privileges of its own. It prints the secret, as JSON: {"value": "…"}.
func AddToken(user, token string) (Setup, error) {
	return setup(tokenChecks(user, token), pveumPath, "user", "token", "add", user, token, "--privsep", "1", "--output-format", "json")
}

// RemoveToken removes a token, whose secret is worth nothing from then on.
func RemoveToken(user, token string) (Setup, error) {
	return setup(tokenChecks(user, token), pveumPath, "user", "token", "remove", user, token)
}

func tokenChecks(user, token string) []error {
	return []error{
		matches("user of the realm pve, as in tend@pve", user, userExpr),
		matches("name of a token: a letter, and then letters, digits, ., _ and -", token, tokenExpr),
	}
}

// Allow gives a user and its token a role on a path and all below it.
func Allow(at, role, user, token string) (Setup, error) {
	checks := append(tokenChecks(user, token), matches("path of the access list", at, pathExpr), matches("name of a role", role, roleExpr))
	return setup(checks, pveumPath, "acl", "modify", at, "--roles", role, "--users", user, "--tokens", user+"!"+token)
}

// Enable has systemd start a unit of tend, now and from now on.
func Enable(unit string) (Setup, error) {
	return setup([]error{knownUnit(unit)}, systemctl, "enable", "--now", unit)
}

func knownUnit(unit string) error {
	if !slices.Contains(Units(), unit) {
		return fmt.Errorf("%q is no unit of tend", unit)
	}
	return nil
}

// What setup looks at before it shows what it would do. All but the last print JSON.

// ListRoles shows the roles.
func ListRoles() Setup {
	return Setup{[]string{pveumPath, "role", "list", "--output-format", "json"}}
}

// ListUsers shows the users.
func ListUsers() Setup {
	return Setup{[]string{pveumPath, "user", "list", "--output-format", "json"}}
}

// ListAccess shows the access list.
func ListAccess() Setup {
	return Setup{[]string{pveumPath, "acl", "list", "--output-format", "json"}}
}

// ListTokens shows the tokens of a user, without their secrets.
func ListTokens(user string) (Setup, error) {
	return setup([]error{matches("user of the realm pve, as in tend@pve", user, userExpr)}, pveumPath, "user", "token", "list", user, "--output-format", "json")
}

// IsEnabled prints "enabled" for a unit of tend that is.
func IsEnabled(unit string) (Setup, error) {
	return setup([]error{knownUnit(unit)}, systemctl, "is-enabled", unit)
}
