import { describe, expect, it } from 'vitest';
import { entryFormats } from '../../src/core/entry-format.ts';
import { entrySchema } from '../../src/server/entry-schema.ts';
import { problemCodes } from '../../src/server/problem-table.ts';
import { routeTable } from '../../src/server/routes/route-table.ts';
import { serve } from '../support/http-server.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: Readonly<Record<string, unknown>> }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, { readonly schema: unknown }>> };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Readonly<Record<string, { readonly schema?: unknown }>> }>>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, { readonly properties?: Readonly<Record<string, { readonly enum?: readonly string[] }>> }>> };
}

async function document(): Promise<Document> {
  return (await (await serve()).request('GET', '/v1/openapi.json')).json as unknown as Document;
}

describe('the OpenAPI document', () => {
  it('has every route, and no other', async () => {
    const { openapi, paths } = await document();
    expect(openapi).toBe('3.1.0');
    const documented = Object.entries(paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, { operationId }]) => `${method.toUpperCase()} ${path} ${operationId}`));
    expect(documented.sort()).toEqual(routeTable.map(({ method, path, name }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')} ${name}`).sort());
    expect(new Set(routeTable.map(({ name }) => name)).size).toBe(routeTable.length);
  });

  it('has every error code', async () => {
    const { components } = await document();
    expect(components.schemas['Problem']?.properties?.['code']?.enum).toEqual(problemCodes);
  });

  it('names its path parameters, and for commands the key and the revision', async () => {
    const { paths } = await document();
    for (const route of routeTable) {
      const operation = paths[route.path.replaceAll(/:(\w+)/g, '{$1}')]?.[route.method.toLowerCase()];
      const names = (where: string) => operation?.parameters.filter((parameter) => parameter.in === where).map(({ name }) => name);
      expect(names('path')).toEqual([...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name));
      const headers = route.command === 'guarded' || route.command === 'versioned' ? ['Idempotency-Key', 'If-Match'] : route.command === 'keyed' ? ['Idempotency-Key'] : route.name === 'followEvents' ? ['Last-Event-ID'] : [];
      expect(names('header'), route.name).toEqual(headers);
      expect(names('query')).toEqual(Object.keys(route.query?.shape ?? {}));
      expect(operation?.requestBody !== undefined, route.name).toBe(route.body !== undefined);
    }
  });

  it('gives ranges and defaults of parameters as clients may use them', async () => {
    const { paths } = await document();
    const parameters = Object.fromEntries((paths['/v1/sessions']?.['get']?.parameters ?? []).map(({ name, schema }) => [name, schema]));
    expect(parameters['limit']).toMatchObject({ type: 'integer', minimum: 1, maximum: 100, default: 50 });
    expect(parameters['archived']).toEqual(expect.objectContaining({ type: 'boolean' }));
  });

  it('refers to nothing that is not in it', async () => {
    const found = await document();
    const references = [...JSON.stringify(found).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = '']) => reference);
    expect(references.length).toBeGreaterThan(50);
    for (const reference of new Set(references)) {
      expect(found.components.schemas[reference.replace('#/components/schemas/', '')], reference).toBeDefined();
    }
  });

  it('describes every reply: JSON by a named shape, errors as problems', async () => {
    const { paths } = await document();
    for (const operation of Object.values(paths).flatMap((operations) => Object.values(operations))) {
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        expect(description).not.toBe('');
        for (const [type, { schema }] of Object.entries(content)) {
          if (type === 'application/json' && operation.operationId !== 'openApi') expect(schema, `${operation.operationId} ${status}`).toMatchObject({ $ref: expect.stringMatching(/^#\/components\/schemas\/\w+$/) as string });
        }
        if (Number(status) >= 400 && operation.operationId !== 'readiness') expect(Object.keys(content)).toEqual(['application/problem+json']);
      }
    }
  });

  it('knows every kind of entry', () => {
    expect(entrySchema.options.map((option) => option.shape.kind.value).sort()).toEqual(Object.keys(entryFormats).sort());
  });
});
