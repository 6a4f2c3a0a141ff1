import { createHash } from 'node:crypto';

/** What the store keeps of a token with which an operation may be completed from outside: its SHA-256, base64url. */
export function completionTokenHash(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

/** A token, made of a secret. It begins with its tenant, since whoever brings it has nothing else to say whose operation it is. */
export function completionToken(tenant: string, secret: string): string {
  return `${Buffer.from(tenant).toString('base64url')}.${secret}`;
}

/** The tenant that a token names; null when it has not the form of one. That it is the right token, its hash says. */
export function tenantOfToken(token: string): string | null {
  const match = /^([\w-]{1,400})\.[\w-]{1,100}$/.exec(token);
  const tenant = match === null ? '' : Buffer.from(match[1] ?? '', 'base64url').toString();
  return tenant === '' || tenant.includes('\u0000') ? null : tenant;
}
