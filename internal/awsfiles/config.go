package awsfiles

import (
	"fmt"
	"slices"
	"strings"
)

// What headers begin with in the config file.
const (
	profileWord  = "profile"
	ssoWord      = "sso-session"
	servicesWord = "services"
	// DefaultProfile is the profile in use where nothing names one.
	DefaultProfile = "default"
)

// Config is what the two files say. It is immutable.
type Config struct {
	files    *Files
	profiles map[string]*Profile
	sso      map[string]*Section
	services map[string]*Section
	sections []*Section
}

// Profile is what both files say of one name. Where both have a setting, the
// credentials file's counts.
type Profile struct {
	Name string
	// Config and Credentials are its sections in the two files; nil where there is none.
	Config, Credentials *Section
}

// Get is a setting of the profile.
func (p *Profile) Get(key string) (Setting, bool) {
	if s, ok := p.Credentials.get(key); ok {
		return s, true
	}
	return p.Config.get(key)
}

// Value is the value of a setting; empty if the profile has none.
func (p *Profile) Value(key string) string {
	s, _ := p.Get(key)
	return s.Value
}

// Get is a setting of the section.
func (s *Section) Get(key string) (Setting, bool) { return s.get(key) }

// Settings are the section's, in the order of their lines.
func (s *Section) Settings() []Setting {
	all := make([]Setting, 0, len(s.settings))
	for _, one := range s.settings {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b Setting) int { return a.Line - b.Line })
	return all
}

// Profile is the profile of that name.
func (c *Config) Profile(name string) (*Profile, bool) {
	p, ok := c.profiles[name]
	return p, ok
}

// Profiles lists the profiles' names, sorted.
func (c *Config) Profiles() []string {
	names := make([]string, 0, len(c.profiles))
	for name, p := range c.profiles {
		// Sections of the AWS CLI's that are none of a profile.
		if p.Credentials != nil || p.Config.Header != "plugins" && p.Config.Header != "preview" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// SSOSession is the section [sso-session name] of the config file.
func (c *Config) SSOSession(name string) (*Section, bool) {
	s, ok := c.sso[name]
	return s, ok
}

// Sections are all sections of both files, in the order of their lines.
func (c *Config) Sections() []*Section { return c.sections }

// Services is the section [services name] of the config file.
func (c *Config) Services(name string) (*Section, bool) {
	s, ok := c.services[name]
	return s, ok
}

// Misnamed is a section of the credentials file whose header is written as in the
// config file, [profile name], and so is another profile's; nil if there is none.
func (c *Config) Misnamed(name string) *Section {
	for _, s := range c.sections {
		if s.File == c.files.Credentials && strings.HasPrefix(s.Header, profileWord) {
			if _, named, ok := headerName(s.Header); ok && named == name {
				return s
			}
		}
	}
	return nil
}

// Parse reads both files. It fails with *SyntaxError.
func (f *Files) Parse() (*Config, error) {
	c := &Config{files: f, profiles: map[string]*Profile{}, sso: map[string]*Section{}, services: map[string]*Section{}}
	config, err := parse(f.Config)
	if err != nil {
		return nil, err
	}
	credentials, err := parse(f.Credentials)
	if err != nil {
		return nil, err
	}
	c.sections = slices.Concat(config, credentials)
	// loose are sections that the AWS CLI takes for none of a profile, and people mean
	// one by: [name], [profile two words]. They count where nothing else has the name,
	// so that no profile that the AWS CLI knows becomes another.
	loose := map[string]*Section{}
	for _, s := range config {
		kind, name, exact := headerName(s.Header)
		into := map[string]map[string]*Section{ssoWord: c.sso, servicesWord: c.services}[kind]
		switch {
		case into != nil:
			err = put(into, name, s)
		case exact:
			if before := c.profiles[name]; before != nil {
				err = twice(before.Config, s)
			} else {
				c.profiles[name] = &Profile{Name: name, Config: s}
			}
		default:
			err = put(loose, name, s)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, s := range credentials {
		p := c.profiles[s.Header]
		if p == nil {
			p = &Profile{Name: s.Header}
			c.profiles[s.Header] = p
		}
		p.Credentials = s
	}
	for name, s := range loose {
		if c.profiles[name] == nil {
			c.profiles[name] = &Profile{Name: name, Config: s}
		}
	}
	return c, nil
}

func put(into map[string]*Section, name string, s *Section) error {
	if before := into[name]; before != nil {
		return twice(before, s)
	}
	into[name] = s
	return nil
}

// twice refuses headers that are written differently and mean the same.
func twice(before, again *Section) error {
	return &SyntaxError{Path: again.File.Path, Line: again.Line, Reason: fmt.Sprintf("begins a section again that line %d begins", before.Line)}
}

// headerName parses a header of the config file: its kind, the name, and whether the
// AWS CLI reads it as a profile of that name.
func headerName(header string) (kind, name string, exact bool) {
	if header == DefaultProfile {
		return profileWord, header, true
	}
	for _, kind := range []string{profileWord, ssoWord, servicesWord} {
		if !strings.HasPrefix(header, kind) {
			continue
		}
		if words, ok := splitWords(header); ok && len(words) == 2 {
			return kind, words[1], true
		}
		if rest := header[len(kind):]; rest != "" && strings.Trim(rest[:1], " \t") == "" && strings.Trim(rest, " \t") != "" {
			return kind, strings.Trim(rest, " \t"), false
		}
	}
	return "", strings.Trim(header, " \t"), false
}

// splitWords splits a header as Python's shlex.split does. It reports false where a
// quote does not end.
func splitWords(s string) ([]string, bool) {
	var words []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quote == 0 && (ch == ' ' || ch == '\t'):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		case ch == '\\' && quote != '\'':
			if i++; i == len(s) {
				return nil, false
			}
			if quote == '"' && s[i] != '"' && s[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(s[i])
			inWord = true
		case quote == 0 && (ch == '\'' || ch == '"'):
			quote, inWord = ch, true
		case quote != 0 && ch == quote:
			quote = 0
		default:
			word.WriteByte(ch)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, quote == 0
}
