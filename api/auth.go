package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// authenticate finds out who calls and whether they may. Attempts that are
// denied are logged and counted.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op, ok := s.contract.operationOf(c.Request().Method, c.Path())
		if !ok {
			return next(c) // echo has no such route, and says so
		}
		ctx := c.Request().Context()
		call := callOf(ctx)
		call.operation = op.id
		if !op.public {
			who, err := s.principalOf(ctx, c.Request().Header.Get(echo.HeaderAuthorization))
			if err == nil {
				call.principal = who
				err = s.authorize(ctx, who, op.id, c.Param("vault"))
			}
			if err != nil {
				s.recordDenied(ctx, call, c.Param("vault"), err)
				return err
			}
		}
		c.SetRequest(c.Request().WithContext(withCall(ctx, call)))
		return next(c)
	}
}

// principalOf asks the log itself, so that a key works as soon as it is issued
// and no longer once it is revoked.
func (s *Server) principalOf(ctx context.Context, authorization string) (principal, error) {
	scheme, credential, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return principal{}, refuse(http.StatusUnauthorized, errorcatalog.Unauthenticated, "the request carries no credential")
	}
	id, secret, ok := parseKey(strings.TrimSpace(credential))
	if !ok {
		return principal{}, errBadKey
	}
	key, version, err := s.apiKeys.Load(ctx, id)
	if err != nil {
		return principal{}, err
	}
	if !secretMatches(secret, key.SecretHash) || version == 0 {
		return principal{}, errBadKey
	}
	if !key.ValidAt(s.now()) {
		return principal{}, refuse(http.StatusUnauthorized, errorcatalog.Unauthenticated, "the API key is revoked or has expired")
	}
	return principal{key: id, vault: key.Vault, role: role(key.Role)}, nil
}

// authorize decides whether a principal may use an operation on a vault. What
// lies in another vault does not exist for it.
func (s *Server) authorize(ctx context.Context, who principal, operationID, vault string) error {
	if vault != "" && who.vault != everyVault && who.vault != vault {
		return refuse(http.StatusNotFound, errorcatalog.VaultNotFound, "there is no vault "+vault)
	}
	if !Permitted(string(who.role), operationID) {
		return refuse(http.StatusForbidden, errorcatalog.Forbidden, "the role "+string(who.role)+" may not use "+operationID)
	}
	if vault == "" || operationID == "putVault" || s.knownVault(vault) {
		return nil
	}
	if !domain.ValidSlug(vault) { // nothing has been checked yet, and the database takes no bytes that are no text
		return missing(errorcatalog.VaultNotFound, "such vault")
	}
	_, version, err := s.vaults.Load(ctx, vault)
	if err != nil {
		return err
	}
	if version == 0 {
		return refuse(http.StatusNotFound, errorcatalog.VaultNotFound, "there is no vault "+vault)
	}
	s.vaultSeen.Store(vault, true)
	return nil
}

// knownVault spares a read: vaults are never deleted.
func (s *Server) knownVault(vault string) bool {
	_, ok := s.vaultSeen.Load(vault)
	return ok
}

func (s *Server) recordDenied(ctx context.Context, c call, vault string, err error) {
	p := problemFor(err)
	if p.Status >= http.StatusInternalServerError {
		return
	}
	s.metrics.denied.WithLabelValues(c.operation, p.Code).Inc()
	s.logger.WarnContext(ctx, "request denied", "operation", c.operation, "code", p.Code, "actor", c.actor(), "vault", vault, "request_id", c.requestID)
}

// everyVault is the scope of a key that is good for all vaults.
const everyVault = "*"

// errBadKey does not say which part was wrong.
var errBadKey = refuse(http.StatusUnauthorized, errorcatalog.Unauthenticated, "the API key is not valid")
