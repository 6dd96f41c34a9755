package fakeaws

import (
	"fmt"
	"time"
)

// credential is a key and whose it is: a long-term key of a root or user, or a
// role's session.
type credential struct {
	key     Key
	owner   *principal
	session string    // the role session's name; empty for long-term keys
	expires time.Time // zero for long-term keys
}

func (c *credential) expired(now time.Time) bool {
	return c.session != "" && !now.Before(c.expires)
}

// arn is who AWS says the caller is. A role's session leaves the role's path
// out.
func (c *credential) arn() string {
	if c.session == "" {
		return c.owner.arn()
	}
	return "arn:" + c.owner.account.partition + ":sts::" + c.owner.account.id + ":assumed-role/" + c.owner.name + "/" + c.session
}

func (c *credential) userID() string {
	if c.session == "" {
		return c.owner.id
	}
	return c.owner.id + ":" + c.session
}

// AddAccessKey gives a user, or an account's root, another long-term key. A key
// that is given must have an id and a secret, and no session token.
func (s *Server) AddAccessKey(arn string, k Key) (Key, error) {
	if k == (Key{}) {
		k = Key{AccessKeyID: s.newID("AKIA", 20), SecretAccessKey: s.newSecret()}
	}
	owner := s.principalByARN(arn)
	if owner == nil || owner.kind != kindUser && owner.kind != kindRoot {
		return Key{}, fmt.Errorf("adding access key: user or root %s: %w", arn, ErrNotFound)
	}
	if k.SessionToken != "" {
		return Key{}, fmt.Errorf("adding access key: %s has a session token", k.AccessKeyID)
	}
	if err := s.addCredential(&credential{key: k, owner: owner}); err != nil {
		return Key{}, fmt.Errorf("adding access key: %w", err)
	}
	return k, nil
}

// AddSession makes a role session, whatever the role's trust policy says.
func (s *Server) AddSession(session Session) (Key, error) {
	role := s.principalByARN(session.RoleARN)
	if role == nil || role.kind != kindRole {
		return Key{}, fmt.Errorf("adding session: role %s: %w", session.RoleARN, ErrNotFound)
	}
	if n := len(session.Name); n < 2 || n > 64 || !onlyNameBytes(session.Name, "+=,.@-") {
		return Key{}, fmt.Errorf("adding session: %q is not a session name", session.Name)
	}
	if session.Expires.IsZero() {
		session.Expires = s.clock().Add(time.Hour)
	}
	if session.Key == (Key{}) {
		return s.newSession(role, session.Name, session.Expires).key, nil
	}
	if session.Key.SessionToken == "" {
		return Key{}, fmt.Errorf("adding session: %s has no session token", session.Key.AccessKeyID)
	}
	cred := &credential{key: session.Key, owner: role, session: session.Name, expires: session.Expires}
	if err := s.addCredential(cred); err != nil {
		return Key{}, fmt.Errorf("adding session: %w", err)
	}
	return session.Key, nil
}

// newSession mints the keys of a role session and stores them.
func (s *Server) newSession(role *principal, name string, expires time.Time) credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(role, name, expires)
}

// issue is newSession. The caller holds the lock.
func (s *Server) issue(role *principal, name string, expires time.Time) credential {
	cred := credential{
		key:     Key{AccessKeyID: s.newID("ASIA", 20), SecretAccessKey: s.newSecret(), SessionToken: s.newSessionToken()},
		owner:   role,
		session: name,
		expires: expires.Truncate(time.Second),
	}
	stored := cred
	s.keys[cred.key.AccessKeyID] = &stored
	return cred
}

func (s *Server) addCredential(cred *credential) error {
	id := cred.key.AccessKeyID
	if len(id) < 16 || len(id) > 128 || !onlyNameBytes(id, "") {
		return fmt.Errorf("%q is not an access key ID", id)
	}
	if cred.key.SecretAccessKey == "" {
		return fmt.Errorf("%s has no secret", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.keys[id]; exists {
		return fmt.Errorf("%s exists", id)
	}
	s.keys[id] = cred
	return nil
}

// credentialOf finds a key's credential, as a copy, or nil.
func (s *Server) credentialOf(keyID string) *credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	cred, ok := s.keys[keyID]
	if !ok {
		return nil
	}
	found := *cred
	return &found
}

// ExpireSession ends a role session now: requests signed by its key get
// ExpiredToken.
func (s *Server) ExpireSession(accessKeyID string) error {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	cred, ok := s.keys[accessKeyID]
	if !ok || cred.session == "" {
		return fmt.Errorf("expiring session %s: %w", accessKeyID, ErrNotFound)
	}
	cred.expires = now
	return nil
}

// RemoveKey deletes an access key: requests signed by it get
// InvalidClientTokenId.
func (s *Server) RemoveKey(accessKeyID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keys[accessKeyID]; !ok {
		return fmt.Errorf("removing key %s: %w", accessKeyID, ErrNotFound)
	}
	delete(s.keys, accessKeyID)
	return nil
}
