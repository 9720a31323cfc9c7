import { GrpcError } from './errors.ts';

// The wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding/), as far as the few messages
// need it that we exchange. Fields that we do not know are skipped, as the format means it.

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** A message that was read: the values of each field number, in their order. Numbers are varints. */
export type Fields = ReadonlyMap<number, readonly (Buffer | number)[]>;

/** A field with a text, a message or a number. */
export function field(number: number, value: string | Uint8Array | number | boolean): Buffer {
  if (typeof value === 'number' || typeof value === 'boolean') {
    return Buffer.concat([varint((number << 3) | VARINT), varint(Number(value))]);
  }
  const bytes = Buffer.from(value as string);
  return Buffer.concat([varint((number << 3) | LENGTH), varint(bytes.length), bytes]);
}

/** Reads a message. Throws GrpcError if it is cut short or is none. */
export function parseFields(message: Uint8Array): Fields {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
  const fields = new Map<number, (Buffer | number)[]>();
  for (let at = 0; at < bytes.length; ) {
    const [tag, afterTag] = readVarint(bytes, at);
    const [value, end] = readValue(bytes, afterTag, tag % 8);
    const number = Math.floor(tag / 8);
    const values = fields.get(number) ?? [];
    if (value !== undefined) fields.set(number, [...values, value]);
    at = end;
  }
  return fields;
}

/** The last text of a field; empty where there is none, as proto3 has it. */
export function textIn(fields: Fields, number: number): string {
  const value = fields.get(number)?.at(-1);
  return Buffer.isBuffer(value) ? value.toString() : '';
}

/** The last number of a field; 0 where there is none, as proto3 has it. */
export function numberIn(fields: Fields, number: number): number {
  const value = fields.get(number)?.at(-1);
  return typeof value === 'number' ? value : 0;
}

/** The messages of a repeated field. Throws GrpcError. */
export function messagesIn(fields: Fields, number: number): Fields[] {
  return (fields.get(number) ?? []).flatMap((value) => (Buffer.isBuffer(value) ? [parseFields(value)] : []));
}

/** The entries of a `map<string, string>`. Throws GrpcError. */
export function mapIn(fields: Fields, number: number): Map<string, string> {
  return new Map(messagesIn(fields, number).map((entry) => [textIn(entry, 1), textIn(entry, 2)]));
}

function readValue(bytes: Buffer, at: number, wireType: number): [Buffer | number | undefined, number] {
  if (wireType === VARINT) return readVarint(bytes, at);
  if (wireType === FIXED64) return [undefined, within(bytes, at + 8)];
  if (wireType === FIXED32) return [undefined, within(bytes, at + 4)];
  if (wireType !== LENGTH) throw new GrpcError(`wire type ${wireType} is unknown`);
  const [length, start] = readVarint(bytes, at);
  return [bytes.subarray(start, within(bytes, start + length)), start + length];
}

function within(bytes: Buffer, end: number): number {
  if (end > bytes.length) throw new GrpcError('the message is cut short');
  return end;
}

const MAX_VARINT_BYTES = 10;

// Above 2^53 it loses digits, which none of the numbers that we look at does.
function readVarint(bytes: Buffer, at: number): [value: number, end: number] {
  let value = 0;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw new GrpcError('the message is cut short');
    value += (byte % 128) * 128 ** i;
    if (byte < 128) return [value, at + i + 1];
  }
  throw new GrpcError('a number is too long');
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
