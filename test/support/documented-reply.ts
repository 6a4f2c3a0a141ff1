import { z } from 'zod';
import { expect } from 'vitest';
import { problemCodesOf } from '../../src/server/openapi-document.ts';
import { problemTable, type ProblemCode } from '../../src/server/problem-table.ts';
import type { Route } from '../../src/server/route.ts';
import { routeTable } from '../../src/server/routes/route-table.ts';

interface SeenReply {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

/** Fails the test when a reply is not as the OpenAPI document says: unknown members, a status or an error code that its route does not name. */
export function documentedReply(method: string, path: string, { status, headers, json }: SeenReply): void {
  const found = routeOf(method, new URL(path, 'http://localhost').pathname);
  if (headers.get('content-type') === 'application/problem+json') {
    const { code, status: inBody, type, title, detail } = json as { code: ProblemCode; status: number; type: string; title: string; detail: string };
    expect({ inBody, status: problemTable[code].httpStatus, type, title }).toEqual({ inBody: status, status, type: `/docs/errors/${code}`, title: problemTable[code].title });
    expect(detail).toBeTypeOf('string');
    if (found !== undefined) expect(problemCodesOf(found), `${code} of ${found.name}`).toContain(code);
    return;
  }
  expect(found, `${method} ${path} answers ${status}, and no route says so`).toBeDefined();
  const shape = found?.replies[status];
  expect(shape, `${found?.name} answers ${status}`).toBeDefined();
  if (!(shape instanceof z.ZodType)) return;
  // What a schema does not know it leaves out.
  expect(shape.parse(json)).toEqual(json);
}

function routeOf(method: string, path: string): Route | undefined {
  return routeTable.find((route) => route.method === method && new RegExp(`^${route.path.replaceAll(/:\w+/g, '[^/]+')}$`).test(path));
}
