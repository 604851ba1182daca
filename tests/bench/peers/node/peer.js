// Locks of Node packages, to be measured beside ours: `node peer.js NAME LOCK`.
// Speaks what tests/bench/peer/src/lib.rs describes.
'use strict';

const fs = require('node:fs');
const readline = require('node:readline');

const now = () => process.hrtime.bigint();
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function sleepUntil(instant) {
  for (let left = instant - now(); left > 0n; left = instant - now()) {
    // A timer is good for milliseconds; the rest is waited for by looking.
    if (left > 2_000_000n) await sleep(Number(left / 1_000_000n) - 1);
  }
}

function proper(name, lock, { poll, stale }) {
  const { lock: take } = require(name);
  // Nobody's patience ends in a measurement; `forever` goes on with the last of the retries.
  const retries = { forever: true, retries: 1, minTimeout: poll, maxTimeout: poll };
  let release;
  return {
    acquire: async () => { release = await take(lock, { realpath: false, stale, retries }); },
    release: async () => { await release(); },
  };
}

function npm(lock, poll) {
  const { promisify } = require('node:util');
  const lockfile = require('lockfile');
  const take = promisify(lockfile.lock);
  const drop = promisify(lockfile.unlock);
  return {
    acquire: () => take(lock, { wait: 3_600_000, pollPeriod: poll }),
    release: () => drop(lock),
  };
}

function original(lock, rules) {
  const { Original } = require('./original.js');
  return new Original(lock, rules);
}

function subject(name, lock) {
  switch (name) {
    case 'proper-lockfile': return proper('proper-lockfile', lock, { poll: 1000, stale: 10_000 });
    case 'proper-lockfile-5ms': return proper('proper-lockfile', lock, { poll: 5, stale: 2000 });
    case 'proper-lockfile-fork-5ms':
      return proper('@alcalzone/proper-lockfile', lock, { poll: 5, stale: 2000 });
    case 'npm-lockfile': return npm(lock, 100);
    case 'npm-lockfile-5ms': return npm(lock, 5);
    case 'original': return original(lock, { poll: 250, stale: 120_000 });
    case 'original-5ms': return original(lock, { poll: 5, stale: 1000 });
    default: throw new Error(`no such peer: ${name}`);
  }
}

function work(counter) {
  const bytes = Buffer.alloc(8);
  const file = fs.openSync(counter, 'r+');
  fs.readSync(file, bytes, 0, 8, 0);
  const next = bytes.readBigUInt64LE() + 1n;
  bytes.writeBigUInt64LE(next);
  fs.writeSync(file, bytes, 0, 8, 0);
  fs.closeSync(file);
  fs.appendFileSync(`${counter}.log`, `${process.pid} ${next}\n`);
}

async function contend(it, [start, until, log, counter]) {
  const turns = [];
  await sleepUntil(BigInt(start));
  const used = process.cpuUsage();
  for (let wanted = now(); wanted < BigInt(until); wanted = now()) {
    await it.acquire();
    const got = now();
    work(counter);
    const left = now();
    await it.release();
    turns.push(`turn ${wanted} ${got} ${left}\n`);
  }
  const { user, system } = process.cpuUsage(used);
  fs.writeFileSync(log, turns.join(''));
  return `contended ${turns.length} ${(user + system) * 1000}`;
}

async function once(it, [start, hold]) {
  await sleepUntil(BigInt(start));
  const wanted = now();
  await it.acquire();
  const got = now();
  await sleepUntil(got + BigInt(hold));
  const left = now();
  await it.release();
  return `turn ${wanted} ${got} ${left}`;
}

async function answer(it, [verb, ...args]) {
  switch (verb) {
    case 'cycles': {
      const begun = now();
      for (let left = Number(args[0]); left > 0; left -= 1) {
        await it.acquire();
        await it.release();
      }
      return `cycled ${now() - begun}`;
    }
    case 'acquire': {
      const wanted = now();
      await it.acquire();
      return `acquired ${wanted} ${now()}`;
    }
    case 'release': {
      const began = now();
      await it.release();
      const ended = now();
      await sleep(2);
      return `released ${began} ${ended}`;
    }
    case 'once': return once(it, args);
    case 'contend': return contend(it, args);
    default: throw new Error(`no such command: ${verb}`);
  }
}

async function main() {
  const [name, lock] = process.argv.slice(2);
  const it = subject(name, lock);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const text = await answer(it, line.split(' ')).catch((error) => `failed ${error.message}`);
    process.stdout.write(`${text}\n`);
  }
  // Timers of a lock that is still held must not keep the process.
  process.exit(0);
}

main();
