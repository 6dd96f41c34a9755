package fakeaws

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type callerIdentity struct {
	Account string
	Arn     string
	UserID  string `xml:"UserId" json:"UserId"`
}

// getCallerIdentity needs no permission, and no policy can deny it
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
func (s *Server) getCallerIdentity(_ *call, who *credential) (any, *apiError) {
	return callerIdentity{Account: who.owner.account.id, Arn: who.arn(), UserID: who.userID()}, nil
}

type assumedRole struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId" json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      timestamp
	}
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId" json:"AssumedRoleId"`
		Arn           string
	}
}

// The bounds of a role session, in seconds
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const (
	minSession     = 900
	maxSession     = 43200
	defaultSession = 3600
	chainedSession = 3600 // the most for a role assumed from another role
)

const messageTooLong = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."

// assumeRoleParams are the parameters that are understood. Others would narrow
// or mark the session, and to take no notice of them would be to grant more
// than was asked for.
var assumeRoleParams = []string{"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "SerialNumber", "TokenCode"}

func (s *Server) assumeRole(c *call, who *credential) (any, *apiError) {
	duration, err := checkRoleRequest(c.params, assumeRoleParams)
	if err != nil {
		return nil, err
	}
	if who.owner.kind == kindRoot {
		return nil, accessDenied("Roles may not be assumed by root accounts.")
	}
	roleARN := c.params["RoleArn"]
	denied := accessDenied(fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", who.arn(), roleARN))
	role := s.byARN[roleARN]
	if role == nil || role.kind != kindRole {
		return nil, denied
	}
	mfa, err := checkMFA(c.params, who)
	if err != nil {
		return nil, err
	}
	if !role.mayAssume(who, c.assumeContext(who, mfa)) {
		return nil, denied
	}
	if duration > role.maxSession {
		return nil, validation(messageTooLong)
	}
	if who.session != "" && duration > chainedSession*time.Second {
		return nil, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	return newAssumedRole(s.issue(role, c.params["RoleSessionName"], c.at.Add(duration))), nil
}

func newAssumedRole(session credential) assumedRole {
	var result assumedRole
	result.Credentials.AccessKeyID = session.key.AccessKeyID
	result.Credentials.SecretAccessKey = session.key.SecretAccessKey
	result.Credentials.SessionToken = session.key.SessionToken
	result.Credentials.Expiration = timestamp(session.expires)
	result.AssumedRoleUser.AssumedRoleID = session.userID()
	result.AssumedRoleUser.Arn = session.arn()
	return result
}

// checkRoleRequest holds the parameters against the API's constraints and
// returns the duration asked for.
func checkRoleRequest(params map[string]string, known []string) (time.Duration, *apiError) {
	for name := range params {
		if !strings.HasPrefix(name, "X-Amz-") && !slices.Contains(known, name) {
			return 0, validation(fmt.Sprintf("The parameter %s is not supported here.", name))
		}
	}
	if err := checkLength("roleArn", params, "RoleArn", 20, 2048); err != nil {
		return 0, err
	}
	if err := checkLength("roleSessionName", params, "RoleSessionName", 2, 64); err != nil {
		return 0, err
	}
	if name := params["RoleSessionName"]; !onlyNameBytes(name, "+=,.@-") {
		return 0, constraint(name, "roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	if id, ok := params["ExternalId"]; ok {
		if err := checkLength("externalId", params, "ExternalId", 2, 1224); err != nil {
			return 0, err
		}
		if !onlyNameBytes(id, "+=,.@:/-") {
			return 0, constraint(id, "externalId", `Member must satisfy regular expression pattern: [\w+=,.@:\/-]*`)
		}
	}
	text, ok := params["DurationSeconds"]
	if !ok {
		return defaultSession * time.Second, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil:
		return 0, &apiError{"MalformedInput", "Invalid value for DurationSeconds.", http.StatusBadRequest}
	case seconds < minSession:
		return 0, constraint(text, "durationSeconds", fmt.Sprintf("Member must have value greater than or equal to %d", minSession))
	case seconds > maxSession:
		return 0, constraint(text, "durationSeconds", fmt.Sprintf("Member must have value less than or equal to %d", maxSession))
	}
	return time.Duration(seconds) * time.Second, nil
}

func checkLength(member string, params map[string]string, name string, least, most int) *apiError {
	value, ok := params[name]
	switch {
	case !ok:
		return validation(fmt.Sprintf("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member))
	case len(value) < least:
		return constraint(value, member, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	case len(value) > most:
		return constraint(value, member, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
	return nil
}

// constraint describes a broken constraint as AWS's services do.
func constraint(value, member, rule string) *apiError {
	return validation(fmt.Sprintf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, member, rule))
}

// checkMFA reports whether the caller proved an MFA device with this request.
// Half a proof, a wrong one, and one for a device that is not the caller's are
// refused.
func checkMFA(params map[string]string, who *credential) (bool, *apiError) {
	serial, hasSerial := params["SerialNumber"]
	code, hasCode := params["TokenCode"]
	switch {
	case !hasSerial && !hasCode:
		return false, nil
	case !hasSerial || !hasCode:
		return false, accessDenied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	case who.owner.mfaSerial == "" || serial != who.owner.mfaSerial:
		return false, accessDenied("MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	case code != who.owner.mfaCode:
		return false, accessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code.")
	}
	return true, nil
}
