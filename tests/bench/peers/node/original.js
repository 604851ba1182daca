// The rules that our lock began with, in our own words: a record of three lines, each
// transition under a mutex that is a file made exclusively, age as the only sign of death.
// With its holes: the reclaim lock is removed by age alone, and a deadline is the contender's.
'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');
const { randomUUID } = require('node:crypto');

const MUTEX_RETRY_MS = 20;
const MAX_WAIT_MS = 3_600_000;

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const ignored = () => {};

const record = (token) => `${process.pid}\n${Date.now()}\n${token}\n`;

// Makes the file if nobody has.
async function make(file) {
  try {
    return await fs.open(file, 'wx');
  } catch (error) {
    if (error.code === 'EEXIST') return undefined;
    throw error;
  }
}

async function tokenIn(file) {
  const text = await fs.readFile(file, 'utf8').catch(() => '');
  return text.split('\n')[2];
}

class Original {
  constructor(lock, { poll, stale }) {
    Object.assign(this, { lock, poll, stale });
    this.mutex = `${lock}.mutex`;
    this.reclaim = `${lock}.mutex.reclaim`;
  }

  async acquire() {
    this.token = randomUUID();
    await fs.mkdir(path.dirname(this.lock), { recursive: true });
    const deadline = Date.now() + MAX_WAIT_MS;
    for (;;) {
      const mine = await this.inMutex(async () => {
        if (!(await this.isHeld()) || Date.now() >= deadline) {
          await fs.writeFile(this.lock, record(this.token));
          return true;
        }
        return false;
      });
      if (mine) return;
      await sleep(this.poll);
    }
  }

  async release() {
    await this.inMutex(async () => {
      if ((await tokenIn(this.lock)) === this.token) await fs.unlink(this.lock).catch(ignored);
    });
  }

  // Fresh by its own stamp; whatever cannot be read is not.
  async isHeld() {
    const text = await fs.readFile(this.lock, 'utf8').catch(() => '');
    const stamp = Number.parseInt(text.split('\n')[1], 10);
    return Number.isFinite(stamp) && Date.now() - stamp < this.stale;
  }

  async inMutex(work) {
    await this.enter();
    try {
      return await work();
    } finally {
      if ((await tokenIn(this.mutex)) === this.token) await fs.unlink(this.mutex).catch(ignored);
    }
  }

  async enter() {
    for (;;) {
      const file = await make(this.mutex);
      if (file) {
        try {
          await file.writeFile(record(this.token));
          return;
        } catch (error) {
          await fs.unlink(this.mutex).catch(ignored);
          throw error;
        } finally {
          await file.close();
        }
      }
      if (await this.isOld(this.mutex)) await this.reap();
      else await sleep(MUTEX_RETRY_MS);
    }
  }

  async isOld(file) {
    const stat = await fs.stat(file).catch(() => undefined);
    return stat !== undefined && Date.now() - stat.mtimeMs >= this.stale;
  }

  async reap() {
    const file = await make(this.reclaim);
    if (!file) {
      if (await this.isOld(this.reclaim)) await fs.unlink(this.reclaim).catch(ignored);
      return;
    }
    try {
      if (await this.isOld(this.mutex)) await fs.unlink(this.mutex).catch(ignored);
    } finally {
      await file.close();
      await fs.unlink(this.reclaim).catch(ignored);
    }
  }
}

module.exports = { Original };
