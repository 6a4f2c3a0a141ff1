import { refuse, type Refusal } from '../core/errors.ts';

/**
 * Refuses what does not come from this machine, by name: while nobody is asked who they are, the only protection is that a request must have been
 * meant for a loopback address, and not be sent by a page of another site. A name that was rebound to 127.0.0.1 is not one.
 * Refusal: `forbidden_origin`.
 */
export function refuseForeign(request: Request): Refusal | null {
  const refused = refuseForeignHost(request);
  if (refused !== null) return refused;
  const origin = request.headers.get('origin');
  if ((origin !== null && !isLoopbackOrigin(origin)) || request.headers.get('sec-fetch-site') === 'cross-site') {
    return refuse('forbidden_origin', 'a page of another site sent this, and without authentication only pages of this machine may');
  }
  return null;
}

/** Refuses what was meant for another name than this machine's own, and nothing else. For requests whose secret no page of another site can know. */
export function refuseForeignHost(request: Request): Refusal | null {
  const host = request.headers.get('host') ?? new URL(request.url).host;
  if (isLoopbackName(nameOf(host))) return null;
  return refuse('forbidden_origin', 'this server has no authentication and answers to localhost, 127.0.0.1 and [::1] only; configure authenticate to serve under another name');
}

/** A name or address that always means this machine; IPv6 with or without brackets. */
export function isLoopbackName(name: string): boolean {
  const bare = name.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || /^127(?:\.(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])){3}$/.test(bare);
}

function nameOf(host: string): string {
  return host.replace(/:\d*$/, '');
}

function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopbackName(new URL(origin).hostname);
}
